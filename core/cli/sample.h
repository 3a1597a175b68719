/*
 * Synthetic clinical data, made from a seed: the same options always give the same bytes.
 *
 * Invented people, plausible records: Patient, Encounter, Condition, Observation (vital signs
 * and laboratory, LOINC, among them 4548-4), MedicationRequest, Procedure, Immunization,
 * AllergyIntolerance; a few Organizations and Practitioners they refer to.
 */
#ifndef CORE_CLI_SAMPLE_H
#define CORE_CLI_SAMPLE_H

#include <stdint.h>
#include <stdio.h>

struct sample_options {
    uint64_t seed;
    uint64_t patients;
    uint64_t observations; /* of each patient */
};

struct sample_counts {
    uint64_t resources, observations;
};

/* Writes NDJSON, a resource a line; 0, or -1 if out failed. */
int sample_write(const struct sample_options *options, FILE *out, struct sample_counts *ret);

#endif
