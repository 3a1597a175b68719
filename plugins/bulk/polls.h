/*
 * Who polls too often: when each job may be asked about again. Any thread.
 */
#ifndef BULK_POLLS_H
#define BULK_POLLS_H

#include <andiron/base.h>

struct polls;

struct polls *polls_new(void); /* malloc */
void polls_free(struct polls *p);

/*
 * A poll at now_ms (monotonic) of a job that runs; the next is welcome after wait_ms. false: the
 * client has come too early too often.
 */
bool polls_allow(struct polls *p, andiron_str job, int64_t now_ms, int64_t wait_ms);

#endif
