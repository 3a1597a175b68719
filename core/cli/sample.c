/*
 * The generator of synthetic records. Each patient has a random sequence of its own, so that
 * patient 17 is the same however many there are.
 */
#include "cli/sample.h"

#include <inttypes.h>
#include <stdbool.h>
#include <string.h>

#include "base/units.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

enum { PRACTITIONERS = 12, ORGANIZATIONS = 3, ENCOUNTERS_MAX = 40 };

struct person {
    const struct sample_options *options;
    FILE *out;
    uint64_t random;
    uint64_t resources, observations;
    char id[37];
    int64_t born; /* seconds since 1970 */
    size_t encounter_count;
    char encounters[ENCOUNTERS_MAX][37];
    int64_t encounter_at[ENCOUNTERS_MAX];
};

/* ---- random numbers: splitmix64 ----------------------------------------------------- */

static uint64_t next_random(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9E3779B97F4A7C15);
    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    return z ^ (z >> 31);
}

static uint64_t below(struct person *p, uint64_t n)
{
    return next_random(&p->random) % n;
}

/* Roughly normal around 0, within -1 and 1. */
static double bell(struct person *p)
{
    double sum = 0;
    for (int i = 0; i < 4; i++)
        sum += (double)(next_random(&p->random) >> 11) / 9007199254740992.0;
    return (sum - 2) / 2;
}

static void uuid_of(uint64_t *random, char out[37])
{
    uint64_t a = next_random(random), b = next_random(random);
    (void)snprintf(out, 37, "%08" PRIx64 "-%04" PRIx64 "-4%03" PRIx64 "-%04" PRIx64 "-%012" PRIx64,
                   a >> 32, a >> 16 & 0xFFFF, a & 0xFFF, (b >> 48 & 0x3FFF) | 0x8000,
                   b & UINT64_C(0xFFFFFFFFFFFF));
}

/* ---- dates ------------------------------------------------------------------------------ */

static const int64_t data_end = INT64_C(1735689600); /* 2025-01-01: no record is newer */

/* "2014-05-11" and "2014-05-11T12:39:55" of a time. */
static void date_of(int64_t at, char out[11])
{
    char text[UNITS_INSTANT_MAX];
    (void)units_instant(at * 1000000, text);
    memcpy(out, text, 10);
    out[10] = '\0';
}

/* "2014-05-11T12:39:55+04:00" in a zone of the patient's. */
static void date_time_of(int64_t at, int zone_hours, char out[26])
{
    char text[UNITS_INSTANT_MAX];
    (void)units_instant((at + zone_hours * 3600) * 1000000, text);
    (void)snprintf(out, 26, "%.19s%c%02d:00", text, zone_hours < 0 ? '-' : '+',
                   (zone_hours < 0 ? -zone_hours : zone_hours) % 100);
}

/* ---- vocabulary ---------------------------------------------------------------------------- */

static const char *const families[] = { "Almeida",  "Bergström", "Castillo", "Dubois",  "Eriksen",
                                        "Fischer",  "García",    "Haddad",   "Ivanova", "Jansen",
                                        "Kowalski", "Lindqvist", "Moreau",   "Novák",   "Okafor",
                                        "Pereira",  "Quinn",     "Rossi",    "Schäfer", "Tanaka",
                                        "Ueda",     "Vargas",    "Weber",    "Yılmaz",  "Zhang" };
static const char *const women[] = { "Ana",    "Birgit", "Chloé", "Dana", "Elena",
                                     "Fatima", "Greta",  "Hanna", "Ines", "Júlia",
                                     "Katrin", "Leila",  "Mei",   "Nora" };
static const char *const men[] = { "Ahmed", "Björn", "Carlos", "David", "Emil", "Farid", "Georg",
                                   "Hugo",  "Iván",  "Jakob",  "Kenji", "Liam", "Marek", "Noah" };
static const char *const cities[] = { "Ashford",   "Brookdale", "Clearwater", "Dunmore",
                                      "Eastfield", "Fairview",  "Glenwood",   "Hillcrest" };
static const char *const streets[] = { "Oak Street",  "Mill Lane",   "Station Road",
                                       "Park Avenue", "High Street", "Church Road" };

struct coded {
    const char *code, *display;
};

static const struct coded conditions[] = {
    { "44054006", "Type 2 diabetes mellitus" },
    { "38341003", "Hypertensive disorder" },
    { "195967001", "Asthma" },
    { "55822004", "Hyperlipidemia" },
    { "162864005", "Body mass index 30+ - obesity" },
    { "13645005", "Chronic obstructive pulmonary disease" },
    { "73211009", "Diabetes mellitus" },
    { "35489007", "Depressive disorder" },
    { "40930008", "Hypothyroidism" },
    { "64859006", "Osteoporosis" },
};
static const struct coded medications[] = {
    { "860975", "24 HR metformin hydrochloride 500 MG Extended Release Oral Tablet" },
    { "314076", "lisinopril 10 MG Oral Tablet" },
    { "259255", "atorvastatin 80 MG Oral Tablet" },
    { "745679", "200 ACTUAT albuterol 0.09 MG/ACTUAT Metered Dose Inhaler" },
    { "966247", "levothyroxine sodium 0.05 MG Oral Tablet" },
    { "308136", "amlodipine 2.5 MG Oral Tablet" },
};
static const struct coded procedures[] = {
    { "73761001", "Colonoscopy" },           { "71388002", "Procedure" },
    { "80146002", "Appendectomy" },          { "430193006", "Medication reconciliation" },
    { "171207006", "Depression screening" },
};
static const struct coded vaccines[] = {
    { "140", "Influenza, seasonal, injectable, preservative free" },
    { "113", "Td (adult)" },
    { "33", "pneumococcal polysaccharide vaccine, 23 valent" },
    { "121", "zoster vaccine, live" },
};
static const struct coded allergens[] = {
    { "91936005", "Allergy to penicillin" },
    { "300916003", "Latex allergy" },
    { "91935009", "Allergy to peanut" },
    { "232350006", "House dust mite allergy" },
};

enum category { VITAL, LABORATORY };

/* LOINC codes with their UCUM units; weight is how often one is drawn. */
static const struct measure {
    const char *code, *display, *unit, *ucum;
    double middle, spread;
    int digits;
    enum category category;
    unsigned weight;
} measures[] = {
    { "8867-4", "Heart rate", "/min", "/min", 74, 24, 0, VITAL, 10 },
    { "9279-1", "Respiratory rate", "/min", "/min", 14, 4, 0, VITAL, 6 },
    { "8310-5", "Body temperature", "Cel", "Cel", 36.8, 0.9, 1, VITAL, 6 },
    { "29463-7", "Body weight", "kg", "kg", 76, 28, 1, VITAL, 8 },
    { "8302-2", "Body height", "cm", "cm", 170, 18, 1, VITAL, 4 },
    { "39156-5", "Body mass index (BMI) [Ratio]", "kg/m2", "kg/m2", 27, 8, 2, VITAL, 6 },
    { "2339-0", "Glucose [Mass/volume] in Blood", "mg/dL", "mg/dL", 104, 40, 1, LABORATORY, 8 },
    { "4548-4", "Hemoglobin A1c/Hemoglobin.total in Blood", "%", "%", 6.1, 2.4, 15, LABORATORY, 6 },
    { "2093-3", "Cholesterol [Mass/volume] in Serum or Plasma", "mg/dL", "mg/dL", 190, 60, 1,
      LABORATORY, 5 },
    { "2571-8", "Triglyceride [Mass/volume] in Serum or Plasma", "mg/dL", "mg/dL", 140, 80, 1,
      LABORATORY, 5 },
    { "2085-9", "Cholesterol in HDL [Mass/volume] in Serum or Plasma", "mg/dL", "mg/dL", 54, 24, 1,
      LABORATORY, 5 },
    { "38483-4", "Creatinine [Mass/volume] in Blood", "mg/dL", "mg/dL", 0.95, 0.5, 2, LABORATORY,
      6 },
    { "6299-2", "Urea nitrogen [Mass/volume] in Blood", "mg/dL", "mg/dL", 15, 8, 1, LABORATORY, 4 },
    { "2947-0", "Sodium [Moles/volume] in Blood", "mmol/L", "mmol/L", 140, 5, 1, LABORATORY, 4 },
    { "6298-4", "Potassium [Moles/volume] in Blood", "mmol/L", "mmol/L", 4.2, 0.9, 2, LABORATORY,
      4 },
    { "718-7", "Hemoglobin [Mass/volume] in Blood", "g/dL", "g/dL", 14, 3, 1, LABORATORY, 5 },
    { "6690-2", "Leukocytes [#/volume] in Blood by Automated count", "10*3/uL", "10*3/uL", 7, 4, 2,
      LABORATORY, 4 },
    { "777-3", "Platelets [#/volume] in Blood by Automated count", "10*3/uL", "10*3/uL", 250, 110,
      0, LABORATORY, 4 },
};

static const struct {
    const char *code, *display;
} categories[] = {
    [VITAL] = { "vital-signs", "Vital Signs" }, [LABORATORY] = { "laboratory", "laboratory" }
};

/* ---- ids of what patients share --------------------------------------------------------------- */

static void shared_id(uint64_t seed, const char *kind, uint64_t number, char out[37])
{
    uint64_t random = seed * UINT64_C(0x100000001B3) + number;
    for (; *kind != '\0'; kind++)
        random = random * 31 + (unsigned char)*kind;
    uuid_of(&random, out);
}

static void write_shared(const struct sample_options *options, FILE *out,
                         struct sample_counts *counts)
{
    char id[37], organization[37];
    for (uint64_t i = 0; i < ORGANIZATIONS; i++) {
        shared_id(options->seed, "Organization", i, id);
        (void)fprintf(out,
                      "{\"resourceType\":\"Organization\",\"id\":\"%s\",\"active\":true,\"name\":"
                      "\"%s General Hospital\","
                      "\"address\":[{\"city\":\"%s\",\"country\":\"US\"}]}\n",
                      id, cities[i % COUNT(cities)], cities[i % COUNT(cities)]);
    }
    for (uint64_t i = 0; i < PRACTITIONERS; i++) {
        shared_id(options->seed, "Practitioner", i, id);
        shared_id(options->seed, "Organization", i % ORGANIZATIONS, organization);
        (void)fprintf(out,
                      "{\"resourceType\":\"Practitioner\",\"id\":\"%s\",\"active\":true,"
                      "\"identifier\":[{\"system\":"
                      "\"http://hl7.org/fhir/sid/us-npi\",\"value\":\"99%08" PRIu64
                      "\"}],\"name\":[{\"family\":\"%s\","
                      "\"given\":[\"%s\"],\"prefix\":[\"Dr.\"]}],\"qualification\":[{\"issuer\":{"
                      "\"reference\":"
                      "\"Organization/%s\"},\"code\":{\"text\":\"MD\"}}]}\n",
                      id, i, families[(i * 7) % COUNT(families)], women[i % COUNT(women)],
                      organization);
    }
    counts->resources += ORGANIZATIONS + PRACTITIONERS;
}

/* ---- one patient --------------------------------------------------------------------------------- */

static int zone_of(const struct person *p)
{
    return (int)(p->born % 7) - 3;
}

static void write_patient(struct person *p)
{
    bool woman = below(p, 2) == 0;
    const char *given = woman ? women[below(p, COUNT(women))] : men[below(p, COUNT(men))];
    const char *family = families[below(p, COUNT(families))];
    char organization[37], born[11];

    shared_id(p->options->seed, "Organization", below(p, ORGANIZATIONS), organization);
    date_of(p->born, born);
    (void)fprintf(p->out,
                  "{\"resourceType\":\"Patient\",\"id\":\"%s\",\"identifier\":[{\"use\":\"usual\","
                  "\"type\":{\"coding\":[{"
                  "\"system\":\"http://terminology.hl7.org/CodeSystem/"
                  "v2-0203\",\"code\":\"MR\"}]},\"system\":"
                  "\"urn:oid:1.2.36.146.595.217.0.1\",\"value\":\"%07" PRIu64
                  "\"}],\"active\":true,\"name\":[{\"use\":"
                  "\"official\",\"family\":\"%s\",\"given\":[\"%s\"]}],",
                  p->id, below(p, 10000000), family, given);
    (void)fprintf(p->out,
                  "\"telecom\":[{\"system\":\"phone\",\"value\":\"555-%04" PRIu64
                  "\",\"use\":\"home\"}],\"gender\":\"%s\","
                  "\"birthDate\":\"%s\",\"address\":[{\"use\":\"home\",\"line\":[\"%" PRIu64
                  " %s\"],\"city\":\"%s\","
                  "\"postalCode\":\"%05" PRIu64
                  "\",\"country\":\"US\"}],\"managingOrganization\":{\"reference\":"
                  "\"Organization/%s\"}}\n",
                  below(p, 10000), woman ? "female" : "male", born, 1 + below(p, 200),
                  streets[below(p, COUNT(streets))], cities[below(p, COUNT(cities))],
                  below(p, 100000), organization);
    p->resources++;
}

static void write_encounters(struct person *p)
{
    static const struct coded classes[] = { { "AMB", "ambulatory" },
                                            { "EMER", "emergency" },
                                            { "IMP", "inpatient encounter" } };
    p->encounter_count = 4 + (size_t)below(p, 7);
    int64_t at = data_end - (int64_t)(3600 + below(p, 3600 * 24 * 90)) -
                 (int64_t)p->encounter_count * 86400 * 300;
    for (size_t i = 0; i < p->encounter_count; i++) {
        const struct coded *class = &classes[below(p, 10) < 8 ? 0 : 1 + below(p, 2)];
        char practitioner[37], start[26], end[26];
        at += 86400 * (int64_t)(60 + below(p, 230)) + (int64_t)below(p, 36000);
        p->encounter_at[i] = at;
        uuid_of(&p->random, p->encounters[i]);
        shared_id(p->options->seed, "Practitioner", below(p, PRACTITIONERS), practitioner);
        date_time_of(at, zone_of(p), start);
        date_time_of(at + 900 + (int64_t)below(p, 7200), zone_of(p), end);
        (void)fprintf(
            p->out,
            "{\"resourceType\":\"Encounter\",\"id\":\"%s\",\"status\":\"finished\",\"class\":{"
            "\"system\":"
            "\"http://terminology.hl7.org/CodeSystem/"
            "v3-ActCode\",\"code\":\"%s\",\"display\":\"%s\"},\"subject\":{"
            "\"reference\":\"Patient/"
            "%s\"},\"participant\":[{\"individual\":{\"reference\":\"Practitioner/%s\"}}],"
            "\"period\":{\"start\":\"%s\",\"end\":\"%s\"}}\n",
            p->encounters[i], class->code, class->display, p->id, practitioner, start, end);
        p->resources++;
    }
}

static void write_conditions(struct person *p)
{
    size_t count = 1 + (size_t)below(p, 4), first = (size_t)below(p, COUNT(conditions));
    for (size_t i = 0; i < count; i++) {
        const struct coded *c = &conditions[(first + i) % COUNT(conditions)];
        size_t e = (size_t)below(p, p->encounter_count);
        char id[37], onset[26];
        bool active = below(p, 4) != 0;
        uuid_of(&p->random, id);
        date_time_of(p->encounter_at[e], zone_of(p), onset);
        (void)fprintf(p->out,
                      "{\"resourceType\":\"Condition\",\"id\":\"%s\",\"clinicalStatus\":{"
                      "\"coding\":[{\"system\":"
                      "\"http://terminology.hl7.org/CodeSystem/"
                      "condition-clinical\",\"code\":\"%s\"}]},\"verificationStatus\":{"
                      "\"coding\":[{\"system\":\"http://terminology.hl7.org/CodeSystem/"
                      "condition-ver-status\",\"code\":"
                      "\"confirmed\"}]},\"category\":[{\"coding\":[{\"system\":"
                      "\"http://terminology.hl7.org/CodeSystem/"
                      "condition-category\",\"code\":\"encounter-diagnosis\"}]}],",
                      id, active ? "active" : "resolved");
        (void)fprintf(p->out,
                      "\"code\":{\"coding\":[{\"system\":\"http://snomed.info/"
                      "sct\",\"code\":\"%s\",\"display\":\"%s\"}],"
                      "\"text\":\"%s\"},\"subject\":{\"reference\":\"Patient/"
                      "%s\"},\"encounter\":{\"reference\":"
                      "\"Encounter/%s\"},\"onsetDateTime\":\"%s\"}\n",
                      c->code, c->display, c->display, p->id, p->encounters[e], onset);
        p->resources++;
    }
}

static const struct measure *draw_measure(struct person *p)
{
    unsigned total = 0;
    for (size_t i = 0; i < COUNT(measures); i++)
        total += measures[i].weight;
    unsigned drawn = (unsigned)below(p, total);
    for (size_t i = 0; i < COUNT(measures); i++) {
        if (drawn < measures[i].weight)
            return &measures[i];
        drawn -= measures[i].weight;
    }
    return &measures[0];
}

static void write_observation(struct person *p, const struct measure *m)
{
    size_t e = (size_t)below(p, p->encounter_count);
    char id[37], effective[26];
    int64_t at = p->encounter_at[e] + (int64_t)below(p, 800);
    double value = m->middle + m->spread * bell(p);

    uuid_of(&p->random, id);
    date_time_of(at, zone_of(p), effective);
    (void)fprintf(p->out,
                  "{\"resourceType\":\"Observation\",\"id\":\"%s\",\"status\":\"final\","
                  "\"category\":[{\"coding\":[{\"system\":"
                  "\"http://terminology.hl7.org/CodeSystem/"
                  "observation-category\",\"code\":\"%s\",\"display\":\"%s\"}]}],"
                  "\"code\":{\"coding\":[{\"system\":\"http://"
                  "loinc.org\",\"code\":\"%s\",\"display\":\"%s\"}],\"text\":\"%s\"},",
                  id, categories[m->category].code, categories[m->category].display, m->code,
                  m->display, m->display);
    (void)fprintf(
        p->out,
        "\"subject\":{\"reference\":\"Patient/%s\"},\"encounter\":{\"reference\":\"Encounter/%s\"},"
        "\"effectiveDateTime\":\"%s\",\"issued\":\"%.19s.%03" PRIu64
        "%s\",\"valueQuantity\":{\"value\":%.*f,"
        "\"unit\":\"%s\",\"system\":\"http://unitsofmeasure.org\",\"code\":\"%s\"}}\n",
        p->id, p->encounters[e], effective, effective, below(p, 1000), effective + 19, m->digits,
        value, m->unit, m->ucum);
    p->resources++;
    p->observations++;
}

static void write_medications(struct person *p)
{
    size_t count = 1 + (size_t)below(p, 3);
    for (size_t i = 0; i < count; i++) {
        const struct coded *m = &medications[below(p, COUNT(medications))];
        size_t e = (size_t)below(p, p->encounter_count);
        char id[37], practitioner[37], authored[26];
        uuid_of(&p->random, id);
        shared_id(p->options->seed, "Practitioner", below(p, PRACTITIONERS), practitioner);
        date_time_of(p->encounter_at[e] + 600, zone_of(p), authored);
        (void)fprintf(p->out,
                      "{\"resourceType\":\"MedicationRequest\",\"id\":\"%s\",\"status\":\"%s\","
                      "\"intent\":\"order\","
                      "\"medicationCodeableConcept\":{\"coding\":[{\"system\":\"http://"
                      "www.nlm.nih.gov/research/umls/rxnorm\","
                      "\"code\":\"%s\",\"display\":\"%s\"}],\"text\":\"%s\"},\"subject\":{"
                      "\"reference\":\"Patient/%s\"},"
                      "\"encounter\":{\"reference\":\"Encounter/"
                      "%s\"},\"authoredOn\":\"%s\",\"requester\":{\"reference\":"
                      "\"Practitioner/%s\"},\"dosageInstruction\":[{\"sequence\":1,\"text\":\"once "
                      "a day\",\"timing\":{"
                      "\"repeat\":{\"frequency\":1,\"period\":1.0,\"periodUnit\":\"d\"}}}]}\n",
                      id, below(p, 3) == 0 ? "stopped" : "active", m->code, m->display, m->display,
                      p->id, p->encounters[e], authored, practitioner);
        p->resources++;
    }
}

static void write_procedure(struct person *p)
{
    const struct coded *c = &procedures[below(p, COUNT(procedures))];
    size_t e = (size_t)below(p, p->encounter_count);
    char id[37], start[26], end[26];
    uuid_of(&p->random, id);
    date_time_of(p->encounter_at[e], zone_of(p), start);
    date_time_of(p->encounter_at[e] + 1800, zone_of(p), end);
    (void)fprintf(
        p->out,
        "{\"resourceType\":\"Procedure\",\"id\":\"%s\",\"status\":\"completed\",\"code\":{"
        "\"coding\":[{\"system\":"
        "\"http://snomed.info/"
        "sct\",\"code\":\"%s\",\"display\":\"%s\"}]},\"subject\":{\"reference\":\"Patient/%s\"},"
        "\"encounter\":{\"reference\":\"Encounter/"
        "%s\"},\"performedPeriod\":{\"start\":\"%s\",\"end\":\"%s\"}}\n",
        id, c->code, c->display, p->id, p->encounters[e], start, end);
    p->resources++;
}

static void write_immunization(struct person *p)
{
    const struct coded *c = &vaccines[below(p, COUNT(vaccines))];
    size_t e = (size_t)below(p, p->encounter_count);
    char id[37], at[26];
    uuid_of(&p->random, id);
    date_time_of(p->encounter_at[e], zone_of(p), at);
    (void)fprintf(p->out,
                  "{\"resourceType\":\"Immunization\",\"id\":\"%s\",\"status\":\"completed\","
                  "\"vaccineCode\":{\"coding\":[{"
                  "\"system\":\"http://hl7.org/fhir/sid/"
                  "cvx\",\"code\":\"%s\",\"display\":\"%s\"}]},\"patient\":{\"reference\":"
                  "\"Patient/%s\"},\"encounter\":{\"reference\":\"Encounter/"
                  "%s\"},\"occurrenceDateTime\":\"%s\"}\n",
                  id, c->code, c->display, p->id, p->encounters[e], at);
    p->resources++;
}

static void write_allergy(struct person *p)
{
    const struct coded *c = &allergens[below(p, COUNT(allergens))];
    char id[37];
    uuid_of(&p->random, id);
    (void)fprintf(p->out,
                  "{\"resourceType\":\"AllergyIntolerance\",\"id\":\"%s\",\"clinicalStatus\":{"
                  "\"coding\":[{\"system\":"
                  "\"http://terminology.hl7.org/CodeSystem/"
                  "allergyintolerance-clinical\",\"code\":\"active\"}]},\"code\":{"
                  "\"coding\":[{\"system\":\"http://snomed.info/"
                  "sct\",\"code\":\"%s\",\"display\":\"%s\"}]},\"patient\":{"
                  "\"reference\":\"Patient/%s\"}}\n",
                  id, c->code, c->display, p->id);
    p->resources++;
}

static void write_person(const struct sample_options *options, uint64_t number, FILE *out,
                         struct sample_counts *counts)
{
    struct person p = { .options = options, .out = out };
    p.random = options->seed * UINT64_C(0x9E3779B97F4A7C15) + number * UINT64_C(0xD1B54A32D192ED03);
    uuid_of(&p.random, p.id);
    p.born = data_end - 86400 * (int64_t)(365 * 5 + below(&p, 365 * 85));
    write_patient(&p);
    write_encounters(&p);
    write_conditions(&p);
    for (uint64_t i = 0; i < options->observations; i++)
        write_observation(&p, draw_measure(&p));
    write_medications(&p);
    if (below(&p, 2) == 0)
        write_procedure(&p);
    write_immunization(&p);
    if (below(&p, 3) == 0)
        write_allergy(&p);
    counts->resources += p.resources;
    counts->observations += p.observations;
}

int sample_write(const struct sample_options *options, FILE *out, struct sample_counts *ret)
{
    *ret = (struct sample_counts){ 0 };
    write_shared(options, out, ret);
    for (uint64_t i = 0; i < options->patients && !ferror(out); i++)
        write_person(options, i, out, ret);
    return fflush(out) == 0 && !ferror(out) ? 0 : -1;
}
