// Whether a coding is in a ValueSet, or below a code of a CodeSystem: R4 valueset.html and codesystem.html as predicates,
// one coding at a time. Written from the standard's text and not from Andiron's code, which makes lists.

// get(type, name): the resource of that canonical URL, also with "|version".
export function isInSet(set, coding, get) {
  const matches = (part) => (part.system === undefined || part.system === coding.system)
    && (part.concept === undefined || part.concept.some((c) => c.code === coding.code))
    && (part.valueSet ?? []).every((url) => isInSet(get('ValueSet', url), coding, get));
  const hasFilter = [...(set.compose?.include ?? []), ...(set.compose?.exclude ?? [])].some((part) => part.filter);
  if (set.compose && !hasFilter) return set.compose.include.some(matches) && !(set.compose.exclude ?? []).some(matches);
  const isContained = (list) => (list ?? []).some((c) => (!c.abstract && c.system === coding.system && c.code === coding.code) || isContained(c.contains));
  return isContained(set.expansion.contains);
}

const concepts = (list, parent) => (list ?? []).flatMap((c) => [{ ...c, parent }, ...concepts(c.concept, c.code)]);

// Whether `upper` subsumes `lower`: "is-a, and this includes the coding itself".
export function subsumes(system, upper, lower) {
  const all = concepts(system.concept);
  const says = (c, names, code) => (c.property ?? []).some((p) => names.includes(p.code) && p.valueCode === code);
  const isParent = (a, b) => all.some((c) => c.code === b && (c.parent === a || says(c, ['parent', 'subsumedBy'], a)))
    || all.some((c) => c.code === a && says(c, ['child'], b));
  const seen = new Set();
  const climb = (code) => code === upper || (!seen.has(code) && seen.add(code) && all.some((c) => isParent(c.code, code) && climb(c.code)));
  return climb(lower);
}
