/* fsck.h: `storaged --fsck`: is everything under --data what it should be? FORMATS.md section 13. */
#ifndef STORAGED_FSCK_H
#define STORAGED_FSCK_H

#include "storaged/settings.h"

enum { FSCK_SOUND = 0, FSCK_FAILED = 1, FSCK_DAMAGED = 7 };

/* Takes the directory's lock, changes nothing; findings go to standard output, progress to standard error. Returns the exit
 * code: FSCK_FAILED when it could not look. */
int fsck_run(const struct settings *settings);

#endif
