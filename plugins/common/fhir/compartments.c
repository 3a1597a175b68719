/*
 * Compartments of R4: the generated rows, read.
 */
#include "compartments.h"

#include "tables.h"

static const struct fhir_compartment_row *find(int compartment)
{
    for (size_t i = 0; i < fhir_compartment_count; i++)
        if (fhir_compartment_rows[i].type == compartment)
            return &fhir_compartment_rows[i];
    return NULL;
}

bool fhir_is_compartment(int compartment)
{
    return find(compartment) != NULL;
}

bool fhir_compartment_has(int compartment, int type)
{
    size_t pos = 0;
    return fhir_compartment_param(compartment, type, &pos) != NULL;
}

const char *fhir_compartment_param(int compartment, int type, size_t *pos)
{
    const struct fhir_compartment_row *row = find(compartment);
    if (row == NULL)
        return NULL;
    while (*pos < row->count) {
        const struct fhir_compartment_member_row *member =
            &fhir_compartment_members[row->first + (*pos)++];
        if (member->type == type)
            return fhir_names + member->code;
    }
    return NULL;
}
