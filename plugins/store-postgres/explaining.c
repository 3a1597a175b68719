/*
 * How a search was done, as JSON; see stages.h.
 */
#include "stages.h"

/* What is looked up of a conjunction in the index, its driver first of all or not. */
static const char *of_lists(struct run *run, const struct node *n)
{
    const char *of = "";
    size_t count = 0;

    for (size_t i = 0; n->op == NODE_AND && i < n->arg_count; i++) {
        const struct node *arg = n->args[i];
        if (!arg->listed || arg->op != NODE_TERM)
            continue;
        of = andiron_printf(run->arena, "%s%s{\"driver\":\"%s\"}", of, count++ > 0 ? "," : "",
                            arg->kind == KEYS_REFERENCE                      ? "reference"
                            : arg->kind == KEYS_URI || arg->kind == KEYS_URL ? "uri"
                                                                             : "token");
    }
    return count > 1 ? of : NULL;
}

void explaining(struct run *run, int64_t microseconds)
{
    const char *plan = "{\"driver\":\"nothing\"}";
    bool exact = run->plan_count != 0;

    for (size_t i = 0; i < run->plan_count; i++) {
        const struct source *s = run->plans[i].source;
        if (s == NULL)
            continue;
        exact = exact && (s->exact || condition_is_put(run, run->plans[i].filter));
        if (i != 0)
            continue;
        if (s->kind == SOURCE_ARRAY)
            plan = andiron_printf(run->arena, "{\"driver\":\"%s\",\"entries\":\"%zu\"}", s->name,
                                  s->vid_count);
        else if (s->entries >= 0)
            plan = andiron_printf(
                run->arena, "{\"driver\":\"%s\",\"lists\":%zu,\"entries\":\"%s%lld\"}", s->name,
                s->list_count, s->entries > run->store->config->short_list ? "at least " : "",
                (long long)s->entries);
        else
            plan = andiron_printf(run->arena, "{\"driver\":\"%s\",\"lists\":%zu}", s->name,
                                  s->list_count);
        const char *of = of_lists(run, run->plans[i].filter);
        if (of != NULL)
            plan = andiron_printf(run->arena, "{\"driver\":\"all\",\"first\":%s,\"of\":[%s]}", plan,
                                  of);
    }
    const char *text = andiron_printf(
        run->arena,
        "{\"plan\":%s,\"judged\":%s,\"order\":\"%s\",\"probed\":%lld,\"rows\":%zu,\"on\":\"loop\","
        "\"rounds\":%zu,\"microseconds\":%lld,\"cpu\":0}",
        plan, exact ? "\"by the index alone\"" : "\"one by one\"", run->order_name,
        (long long)run->probed, run->page_count, run->rounds, (long long)microseconds);
    run->rows->explain = andiron_str_of(text);
}
