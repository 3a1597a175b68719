#include "interactions.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/fhir/types.h"

/* Interactions as CapabilityStatement names them, by operation; those done most often first. */
static const struct interaction {
    const char *operation, *name;
} interactions[] = {
    { "FhirRead", "read" },
    { "FhirSearch", "search-type" },
    { "FhirUpdate", "update" },
    { "FhirCreate", "create" },
    { "FhirTransaction", "transaction" },
    { "FhirVread", "vread" },
    { "FhirPatch", "patch" },
    { "FhirDelete", "delete" },
    { "FhirConditionalCreate", "create" },
    { "FhirConditionalUpdate", "update" },
    { "FhirConditionalPatch", "patch" },
    { "FhirConditionalDelete", "delete" },
    { "FhirHistory", "history-instance" },
    { "FhirTypeHistory", "history-type" },
    { "FhirSystemHistory", "history-system" },
    { "FhirSystemSearch", "search-system" },
    { "FhirCompartmentSearch", "search-compartment" },
    { "FhirCapabilities", "capabilities" },
    { "FhirOperation", "operation" },
    { "Read", "read" },
    { "Search", "search-type" },
    { "Update", "update" },
    { "Create", "create" },
    { "Patch", "patch" },
    { "Delete", "delete" },
    { "History", "history-instance" },
};

enum {
    COUNT = sizeof(interactions) / sizeof(interactions[0]),
    CLASSES = 5,             /* 1xx to 5xx */
    OTHER = FHIR_TYPE_COUNT, /* types that R4 does not have */
    NO_TYPE,
    TYPES
};

struct interactions {
    struct andiron_host *host;
    _Atomic(struct andiron_counter *) counters[TYPES][COUNT][CLASSES];
};

struct interactions *interactions_new(struct andiron_host *host)
{
    struct interactions *all = calloc(1, sizeof(*all)); /* pages that are never used cost nothing */
    if (all == NULL)
        abort(); /* as everywhere: out of memory ends the worker */
    all->host = host;
    return all;
}

void interactions_free(struct interactions *all)
{
    free(all);
}

/* The registry knows a series that another thread has just registered. */
static struct andiron_counter *counter_of(struct interactions *all, size_t type, size_t which,
                                          size_t class)
{
    _Atomic(struct andiron_counter *) *slot = &all->counters[type][which][class];
    struct andiron_counter *counter = atomic_load_explicit(slot, memory_order_acquire);
    char labels[128];

    if (counter != NULL)
        return counter;
    (void)snprintf(labels, sizeof(labels), "type=\"%s\",interaction=\"%s\",code=\"%zuxx\"",
                   type == OTHER     ? "other"
                   : type == NO_TYPE ? ""
                                     : fhir_type_name((int)type),
                   interactions[which].name, class + 1);
    counter = andiron_counter(all->host, "andiron_fhir_interactions_total", labels,
                              "FHIR interactions, by resource type and class of status code");
    atomic_store_explicit(slot, counter, memory_order_release);
    return counter;
}

void interactions_count(struct interactions *all, const char *operation, andiron_str type,
                        int status)
{
    size_t which = 0, class = status >= 100 && status < 600 ? (size_t)status / 100 - 1 : 4;

    while (which < COUNT && strcmp(interactions[which].operation, operation) != 0)
        which++;
    if (which == COUNT)
        return;
    int index = type.data != NULL ? fhir_type(type) : -1;
    size_t row = type.data == NULL ? NO_TYPE : index >= 0 ? (size_t)index : OTHER;
    andiron_count(counter_of(all, row, which, class), 1);
}

enum andiron_step fhir_log(struct andiron_request *req, void *self)
{
    const struct fhir *fhir = self;
    const char *operation = andiron_request_operation(req);

    if (operation != NULL)
        interactions_count(fhir->interactions, operation, andiron_request_var(req, "type"),
                           andiron_reply_status(req));
    return ANDIRON_NEXT;
}
