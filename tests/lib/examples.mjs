// The official examples of FHIR R4 (package hl7.fhir.r4.examples), and those among them that are no valid R4.
import fs from 'node:fs';
import path from 'node:path';
import { source } from './server.mjs';

// Folder of the package, or undefined.
export const folder = [process.env.NPM_MODULES, path.join(source, 'tests/node_modules')].filter(Boolean).map((m) => path.join(m, 'hl7.fhir.r4.examples')).find((f) => fs.existsSync(f));

// Names of all files, sorted.
export const files = () => fs.readdirSync(folder).filter((f) => f.endsWith('.json') && f !== 'package.json' && !f.startsWith('.')).sort();

// Text of one, without a byte order mark.
export const text = (file) => fs.readFileSync(path.join(folder, file), 'utf8').replace(/^\uFEFF/, '');

const noBase = ['required SearchParameter.base']; // 1..*
const noNameOrStatus = ['required ImplementationGuide.name', 'required ImplementationGuide.status']; // both 1..1

// Examples that break R4, each with what it breaks: issue type, and the place without indices.
export const invalid = {
  'ImplementationGuide-fhir.json': noNameOrStatus,
  'ig-r4.json': noNameOrStatus,
  // Questionnaire.item.linkId is 1..1; items below the second level have none.
  'Questionnaire-qs1.json': ['required Questionnaire.item.item.linkId', 'required Questionnaire.item.item.item.linkId', 'required Questionnaire.item.item.item.item.linkId'],
  'SearchParameter-codesystem-extensions-CodeSystem-author.json': noBase,
  'SearchParameter-codesystem-extensions-CodeSystem-effective.json': noBase,
  'SearchParameter-codesystem-extensions-CodeSystem-end.json': noBase,
  'SearchParameter-codesystem-extensions-CodeSystem-keyword.json': noBase,
  'SearchParameter-codesystem-extensions-CodeSystem-workflow.json': noBase,
  'SearchParameter-valueset-extensions-ValueSet-author.json': noBase,
  'SearchParameter-valueset-extensions-ValueSet-effective.json': noBase,
  'SearchParameter-valueset-extensions-ValueSet-end.json': noBase,
  'SearchParameter-valueset-extensions-ValueSet-keyword.json': noBase,
  'SearchParameter-valueset-extensions-ValueSet-workflow.json': noBase,
  // An id has at most 64 characters; this one has 69.
  'SearchParameter-questionnaireresponse-extensions-QuestionnaireResponse-item-subject.json': ['value SearchParameter.id'],
};
