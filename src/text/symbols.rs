//! The marks within a line: links, emphasis, addresses, pictures.

/// Characters that may follow an address and are not part of it.
const AFTER_URL: [char; 13] = [
    '.', ',', ';', ':', '!', '?', ')', ']', '}', '\'', '*', '_', '…',
];

/// `[label](address)` becomes `label`; an image's mark goes too.
pub(super) fn without_links(line: &str) -> String {
    let mut spoken = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(middle) = rest.find("](") {
        let (before, address) = rest.split_at(middle);
        let parts = before.rfind('[').zip(closing_bracket(&address[1..]));
        let Some((open, end)) = parts else {
            spoken.push_str(&rest[..middle + 2]);
            rest = &rest[middle + 2..];
            continue;
        };
        let (text, label) = before.split_at(open);
        spoken.push_str(text.strip_suffix('!').unwrap_or(text));
        spoken.push_str(&label[1..]);
        rest = &address[1 + end + 1..];
    }
    spoken.push_str(rest);
    spoken
}

/// The line without the numbers of footnotes and sources (`[1]`, `[^1]`, `【1†source】`); of
/// `[label][ref]` the label stays.
pub(super) fn without_references(line: &str) -> String {
    let mut spoken = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(open) = rest.find(['[', '【']) {
        spoken.push_str(&rest[..open]);
        rest = &rest[open..];
        let (inner, after) = match rest.strip_prefix('【') {
            Some(inner) => inner.split_once('】').unzip(),
            None => rest[1..].split_once(']').unzip(),
        };
        let (Some(inner), Some(after)) = (inner, after) else {
            break;
        };
        let number = inner.strip_prefix('^').unwrap_or(inner);
        let is_number = !number.is_empty() && number.chars().all(|c| c.is_ascii_digit());
        if rest.starts_with('【') || is_number || inner.starts_with('^') {
            rest = after;
            continue;
        }
        let reference = after.strip_prefix('[').and_then(|it| it.split_once(']'));
        match reference {
            Some((reference, after)) if !inner.is_empty() && !reference.contains(' ') => {
                spoken.push_str(inner);
                rest = after;
            }
            _ => {
                spoken.push('[');
                rest = &rest[1..];
            }
        }
    }
    spoken.push_str(rest);
    spoken
}

/// Where the bracket that begins `text` is closed.
fn closing_bracket(text: &str) -> Option<usize> {
    let mut depth = 0_u32;
    for (at, c) in text.char_indices() {
        match c {
            '(' => depth += 1,
            ')' if depth == 1 => return Some(at),
            ')' => depth -= 1,
            _ => {}
        }
    }
    None
}

/// Addresses become their hosts.
pub(super) fn hosts(line: &str) -> String {
    let mut spoken = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(start) = next_url(rest, spoken.chars().next_back()) {
        let (before, from_url) = rest.split_at(start);
        let is_end = |c: char| c.is_whitespace() || matches!(c, '<' | '>' | '"' | '`' | '|');
        let end = from_url.find(is_end).unwrap_or(from_url.len());
        let url = without_what_follows(&from_url[..end]);
        let is_bracketed = before.ends_with('<') && from_url[end..].starts_with('>');
        spoken.push_str(if is_bracketed {
            &before[..start - 1]
        } else {
            before
        });
        spoken.push_str(host(url).unwrap_or(url));
        rest = &from_url[url.len()..];
        if is_bracketed && rest.starts_with('>') {
            rest = &rest[1..];
        }
    }
    spoken.push_str(rest);
    spoken
}

/// An address without the marks behind it; a bracket that was opened in it is part of it.
fn without_what_follows(text: &str) -> &str {
    let url = text.trim_end_matches(AFTER_URL);
    let count = |part: &str, bracket| part.matches(bracket).count();
    match count(url, '(') > count(url, ')') && text[url.len()..].starts_with(')') {
        true => &text[..=url.len()],
        false => url,
    }
}

/// Where the next address begins: at the beginning of a word.
fn next_url(text: &str, before: Option<char>) -> Option<usize> {
    let is_word_start = |at: usize| {
        let previous = text[..at].chars().next_back().or(before);
        !previous.is_some_and(char::is_alphanumeric)
    };
    ["https://", "http://", "www."]
        .iter()
        .flat_map(|start| text.match_indices(start).map(|(at, _)| at))
        .filter(|at| is_word_start(*at))
        .min()
}

fn host(url: &str) -> Option<&str> {
    let address = url
        .strip_prefix("https://")
        .or(url.strip_prefix("http://"))
        .unwrap_or(url);
    let authority = address.split(['/', '?', '#']).next()?;
    let host = authority.rsplit('@').next()?.split(':').next()?;
    let host = host.strip_prefix("www.").unwrap_or(host);
    host.chars().any(char::is_alphanumeric).then_some(host)
}

/// The line without the marks of bold, italic, struck-out and code.
pub(super) fn without_emphasis(line: &str) -> String {
    let chars: Vec<char> = line.chars().collect();
    let mut spoken = String::with_capacity(line.len());
    let mut at = 0;
    while at < chars.len() {
        let c = chars[at];
        if c == '\\' && chars.get(at + 1).is_some_and(char::is_ascii_punctuation) {
            spoken.push(chars[at + 1]);
            at += 2;
            continue;
        }
        let n = chars[at..].iter().take_while(|same| **same == c).count();
        let before = at.checked_sub(1).map(|before| chars[before]);
        if is_kept(c, n, before, chars.get(at + n).copied()) {
            spoken.extend(&chars[at..at + n]);
        }
        at += n;
    }
    spoken
}

/// Whether `n` times `c` between these two is text and no mark.
fn is_kept(c: char, n: usize, before: Option<char>, after: Option<char>) -> bool {
    let both = |is_so: fn(char) -> bool| before.is_none_or(is_so) && after.is_none_or(is_so);
    let inside = |is_so: fn(char) -> bool| before.is_some_and(is_so) && after.is_some_and(is_so);
    match c {
        // "3 * 4" and "3*4" are products; elsewhere the star is emphasis.
        '*' => both(char::is_whitespace) || inside(char::is_numeric),
        // Part of a name such as `snake_case`; at the edge of a word it is emphasis.
        '_' => n == 1 && inside(char::is_alphanumeric),
        // "~5" is about five.
        '~' => n == 1,
        '`' => false,
        _ => true,
    }
}

/// The line without pictures, and without what joins and colours them.
pub(super) fn without_emoji(line: &str) -> String {
    let mut spoken = String::with_capacity(line.len());
    let mut was_emoji = false;
    for c in line.chars() {
        let is_joint = was_emoji && c == '\u{200D}';
        let is_variation = matches!(c, '\u{FE00}'..='\u{FE0F}' | '\u{20E3}');
        if is_emoji(c) {
            spoken.push(' ');
            was_emoji = true;
        } else if !is_joint && !is_variation {
            if was_emoji && matches!(c, '.' | ',' | '!' | '?' | ';' | ':' | '…') {
                spoken.truncate(spoken.trim_end().len());
            }
            spoken.push(c);
            was_emoji = false;
        }
    }
    spoken
}

/// Source: Unicode emoji-data 16, the blocks that hold pictures.
fn is_emoji(c: char) -> bool {
    matches!(u32::from(c),
        0x1F000..=0x1FAFF | 0x2600..=0x27BF | 0x2B00..=0x2BFF | 0x2300..=0x23FF
        | 0x203C | 0x2049 | 0x2139 | 0x2190..=0x21FF | 0x25A0..=0x25FF | 0x3030 | 0x303D | 0x3297
        | 0x3299 | 0xE0020..=0xE007F)
}
