/* check_pass.h: everything looked at until two looks say the same: one pass of a check. */
#ifndef CLIENT_CHECK_PASS_H
#define CLIENT_CHECK_PASS_H

#include "client/check_findings.h"
#include "client/check_survey.h"

struct check_pass {
    struct gs_session *session;
    const struct check_options *options;
    const struct check_report *only; /* not NULL: runs that its findings name, and none else */
};

/* Findings and figures into *report, which is empty before. */
enum status check_pass(const struct check_pass *pass, struct check_report *report, struct error *err);

void check_say(const struct check_options *options, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif
