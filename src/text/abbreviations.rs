//! Words whose full stop does not end a sentence, in the languages that agents speak.
//!
//! One table for all languages: the text does not say which it is in. A word is left out where another
//! language often ends a sentence with it; what is taken for an abbreviation in vain is only spoken
//! together with the next sentence.

/// In lower case and without the last full stop.
const ABBREVIATIONS: &[&str] = &[
    // English
    "a.m", "approx", "apt", "ave", "capt", "cf", "col", "corp", "dept", "dr", "e.g", "gen", "i.e",
    "inc", "jr", "lt", "ltd", "messrs", "mr", "mrs", "ms", "mt", "p.m", "prof", "rev", "sgt", "sr",
    "st", "u.k", "u.s", "vs", // German
    "abs", "bspw", "bzw", "ca", "d.h", "dipl", "evtl", "fr", "geb", "ggf", "hr", "ing", "inkl",
    "mio", "mrd", "nr", "o.ä", "str", "tel", "u.a", "usw", "vgl", "z.b", "z.t", "zzgl",
    // French
    "av", "bd", "env", "mlle", "mm", "mme", "mmes", "p.ex", "ste", "tél",
    // Spanish and Portuguese
    "aprox", "dra", "ee.uu", "exma", "exmo", "p.ej", "profa", "pág", "sra", "srta", "ud", "uds",
    // Italian
    "avv", "dott", "dott.ssa", "pag", "sig", "sig.ra", // Dutch
    "b.v", "bijv", "d.w.z", "dhr", "mevr", "mw", "o.a",
    // Danish, Norwegian and Swedish
    "bl.a", "dvs", "f.eks", "kl", "osv", "t.ex", // Polish and Czech
    "godz", "m.in", "mgr", "např", "np", "tj", "tzn", "tzv", "tzw", "ul", // Turkish
    "bkz", "cad", "sok", "örn", // Russian and Ukrainian
    "вул", "др", "им", "проф", "руб", "стр", "т.д", "т.е", "т.п", "тыс", "ул",
];

/// Words before an ordinal in languages that write it with a full stop: articles, and prepositions of dates.
const ORDINAL_PREDECESSORS: [&str; 22] = [
    "am", "beim", "das", "dem", "den", "der", "des", "det", "die", "dne", "dnia", "ein", "eine",
    "einem", "einen", "im", "jeden", "le", "vom", "zum", "zur", "seit",
];

/// Months that are written with a capital after an ordinal.
const MONTHS: [&str; 13] = [
    "april",
    "august",
    "dezember",
    "februar",
    "jänner",
    "januar",
    "juli",
    "juni",
    "mai",
    "märz",
    "november",
    "oktober",
    "september",
];

/// Whether the full stop behind `word` is part of it. In lower case, without that full stop.
pub(super) fn is_abbreviation(word: &str) -> bool {
    ABBREVIATIONS.contains(&word)
}

/// Whether a number behind `word` is most likely an ordinal. In lower case.
pub(super) fn precedes_ordinal(word: &str) -> bool {
    ORDINAL_PREDECESSORS.contains(&word)
}

/// Whether the word names a month in a language with ordinals before it.
pub(super) fn is_month(word: &str) -> bool {
    MONTHS.contains(&word.to_lowercase().as_str())
}
