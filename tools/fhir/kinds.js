/*
 * Which values a kind of parameter can index, and how.
 */
'use strict';

/* How a value becomes index terms: by kind of parameter and type of element. As in program.h. */
const HOW = ['PRESENT', 'COMPOSITE', 'TRUTH',
    'CODE', 'CODING', 'CODEABLE', 'IDENTIFIER', 'CONTACT', 'BOOLEAN', 'TEXT', 'LABEL',
    'STRING', 'HUMAN_NAME', 'ADDRESS', 'DATE', 'INSTANT', 'PERIOD', 'TIMING',
    'NUMBER', 'NUMBER_RANGE', 'QUANTITY', 'MONEY', 'RANGE', 'SAMPLED',
    'REFERENCE', 'CANONICAL', 'RESOURCE', 'ATTACHMENT', 'URI', 'POSITION'];

const BY_KIND = {
    token: {
        code: 'CODE', Coding: 'CODING', CodeableConcept: 'CODEABLE', Identifier: 'IDENTIFIER',
        ContactPoint: 'CONTACT', boolean: 'BOOLEAN', string: 'LABEL', id: 'TEXT', uri: 'TEXT',
    },
    string: { string: 'STRING', markdown: 'STRING', HumanName: 'HUMAN_NAME', Address: 'ADDRESS' },
    date: {
        date: 'DATE', dateTime: 'DATE', instant: 'INSTANT', Period: 'PERIOD', Timing: 'TIMING',
        string: 'DATE', /* where it happens to be one */
        Age: 'PRESENT', Range: 'PRESENT', /* not on a calendar: they only count as present */
    },
    number: { decimal: 'NUMBER', integer: 'NUMBER', Range: 'NUMBER_RANGE' },
    quantity: {
        Quantity: 'QUANTITY', Age: 'QUANTITY', Duration: 'QUANTITY', Money: 'MONEY',
        Range: 'RANGE', SampledData: 'SAMPLED',
    },
    reference: {
        Reference: 'REFERENCE', canonical: 'CANONICAL', uri: 'CANONICAL', Resource: 'RESOURCE',
        Attachment: 'ATTACHMENT',
    },
    uri: { uri: 'URI', url: 'URI', canonical: 'URI' },
    special: { 'Location.position': 'POSITION' },
};

const isIndexable = (kind, type) => BY_KIND[kind]?.[type] !== undefined;

function howOf(kind, route, what) {
    const how = BY_KIND[kind]?.[route.type];
    if (!how)
        throw new Error(`${what}: no way to index a ${route.type} as ${kind}`);
    return how;
}

module.exports = { HOW, howOf, isIndexable };
