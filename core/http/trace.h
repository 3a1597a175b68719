/*
 * W3C Trace Context of a request: what may be logged and passed on of what its client sent. Views
 * into what is given; touches nothing else.
 */
#ifndef HTTP_TRACE_H
#define HTTP_TRACE_H

#include <andiron/base.h>

enum { TRACE_PARENT_BYTES = 55, TRACE_STATE_BYTES = 512 /* section 3.3.1.5: at least so many */ };

/*
 * The value of "traceparent" as version 00, or absent if it is none. What a later version puts
 * behind it is left out (section 4.3); only then is it a copy.
 */
andiron_str trace_parent(struct andiron_arena *arena, andiron_str sent);

/* Its part that names the whole trace; of an absent one absent. */
andiron_str trace_id(andiron_str parent);

/* "tracestate", whole members up to TRACE_STATE_BYTES; absent if it does not parse. */
andiron_str trace_state(andiron_str sent);

#endif
