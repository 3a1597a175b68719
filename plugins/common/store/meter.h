/*
 * Counts and times what a store is asked for, the same way for every store:
 * andiron_store_operations_total{op,result} and andiron_store_operation_seconds{op}.
 *
 * The state of a store begins with a struct store_meter.
 */
#ifndef COMMON_STORE_METER_H
#define COMMON_STORE_METER_H

#include <andiron/store.h>

enum meter_op {
    METER_READ,
    METER_SEARCH,
    METER_WALK,
    METER_COMMIT,
    METER_CLAIM,
    METER_INDEX,
    METER_PURGE,
    METER_OPS
};

/* Refused: the caller is at fault (a precondition, say). */
enum meter_result { METER_OK, METER_REFUSED, METER_FAILED, METER_RESULTS };

struct store_meter {
    const struct andiron_store *own;
    struct andiron_counter *counts[METER_OPS][METER_RESULTS];
    struct andiron_histogram *times[METER_OPS];
    int64_t slow_us; /* operations from this on are told in the log; 0: none */
};

/*
 * In the plugin's init(). own is the store's own table; *ret, which others see, becomes the same with
 * functions that count and time those of own. What takes slow_ms or longer is an event store.slow.
 */
void meter_init(struct store_meter *meter, struct andiron_host *host,
                const struct andiron_store *own, int64_t slow_ms, struct andiron_store *ret);

#endif
