/*
 * Folding of letters for string searches: what each character beyond ASCII becomes without
 * case and accents, in UTF-8. Characters that are not in the table stay as they are.
 */
'use strict';
const { array, rows, file } = require('./emit.js');

/* Letters whose stroke or ligature Unicode does not call an accent. */
const OWN = new Map(Object.entries({
    ø: 'o', ł: 'l', đ: 'd', ħ: 'h', ŧ: 't', æ: 'ae', œ: 'oe', ð: 'd', þ: 'th', ı: 'i', ŋ: 'n',
}));

function fold(text) {
    const bare = [...text.normalize('NFKD')].map(c => c.toLowerCase().toUpperCase().toLowerCase()).join('').normalize('NFKD');
    return [...bare].filter(c => !/\p{M}/u.test(c)).map(c => OWN.get(c) ?? c).join('').replace(/[\p{Z}\p{Cc}]+/gu, ' ')
        .replace(/\p{P}/gu, '-'); /* fold.c leaves all punctuation out, and begins a new word */
}

/* Up to the end of the first plane; Hangul syllables are taken apart by arithmetic (fold.c). */
function foldFile() {
    const entries = [], bytes = [], seen = new Map();
    for (let code = 0x80; code < 0x10000; code++) {
        if (code >= 0xac00 && code <= 0xd7a3 || code >= 0xd800 && code <= 0xdfff)
            continue;
        const from = String.fromCodePoint(code);
        const to = fold(from);
        if (to === from)
            continue;
        if (!seen.has(to)) {
            seen.set(to, bytes.length);
            bytes.push(...Buffer.from(to));
        }
        const length = Buffer.byteLength(to);
        if (bytes.length > 0xffff || length > 255)
            throw new Error('fold table has grown past its offsets');
        entries.push([code, seen.get(to), length]);
    }
    return file('Characters without case and accents.', [
        rows('const struct fhir_fold_row fhir_fold_rows[]', entries),
        `const size_t fhir_fold_count = ${entries.length};\n`,
        array('const uint8_t fhir_fold_bytes[]', bytes),
    ]);
}

module.exports = { foldFile };
