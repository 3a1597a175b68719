/*
 * A request to the running server over its control socket (libcurl).
 */
#ifndef CORE_CLI_CONTROL_H
#define CORE_CLI_CONTROL_H

#include <andiron/json.h>

/*
 * 0 and the answer, its body parsed into arena (MISSING if it is no JSON); else an exit
 * status, told on stderr. Waits as long as the server does.
 */
int control_call(struct andiron_arena *arena, const char *method, const char *target,
                 long *ret_status, andiron_str *ret_body, andiron_json *ret_json);

/* The same with a body; Content-Type says nothing of it. */
int control_send(struct andiron_arena *arena, const char *method, const char *target,
                 andiron_str sent, long *ret_status, andiron_str *ret_body, andiron_json *ret_json);

/*
 * The same for an answer that is no JSON and may be large: take gets its bytes as they come, total
 * is that of all; not 0 ends it. Answers of other statuses than 200 go to *ret_json. An answer that was cut
 * off is EXIT_TRY_AGAIN.
 */
int control_fetch(struct andiron_arena *arena, const char *method, const char *target,
                  int (*take)(void *arg, int64_t total, const char *bytes, size_t len), void *arg,
                  long *ret_status, andiron_json *ret_json);

/* Whether somebody listens at that path. */
bool control_listens(const char *path);

/* `reload` as the command does it, told on stdout or stderr; returns the exit status. */
int control_reload(void);

#endif
