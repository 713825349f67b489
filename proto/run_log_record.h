/* run_log_record.h: the records of runs.log: encode, decode, check. FORMATS.md section 6. Pure. */
#ifndef PROTO_RUN_LOG_RECORD_H
#define PROTO_RUN_LOG_RECORD_H

#include "proto/run.h"

enum { RUN_LOG_HEADER_SIZE = 64, RUN_LOG_RECORD_SIZE = 128 };

struct run_log_record {
    struct run_key run;
    struct run_info info;
    uint64_t told_at_us;
};

void run_log_header_encode(uint64_t id, uint64_t made_at_us, uint8_t bytes[RUN_LOG_HEADER_SIZE]);
enum status run_log_header_decode(const uint8_t bytes[RUN_LOG_HEADER_SIZE], uint64_t *id,
                                  struct error *err);
void run_log_record_encode(const struct run_log_record *record, uint64_t id,
                           uint8_t bytes[RUN_LOG_RECORD_SIZE]);
enum status run_log_record_decode(const uint8_t bytes[RUN_LOG_RECORD_SIZE], uint64_t id,
                                  struct run_log_record *record, struct error *err);

#endif
