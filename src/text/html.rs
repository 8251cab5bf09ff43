//! The little HTML that models write into markdown.

/// Tags that shape text; anything else in angle brackets is text.
const TAGS: [&str; 26] = [
    "a", "b", "br", "center", "code", "details", "div", "em", "h1", "h2", "h3", "hr", "i", "img",
    "kbd", "li", "mark", "ol", "p", "pre", "small", "span", "strong", "sub", "sup", "ul",
];

/// Characters that are written as names.
const ENTITIES: [(&str, &str); 6] = [
    ("&nbsp;", " "),
    ("&lt;", "<"),
    ("&gt;", ">"),
    ("&quot;", "\""),
    ("&#39;", "'"),
    ("&amp;", "&"),
];

/// The line without tags, and with the characters that its entities name.
pub(super) fn without_html(line: &str) -> String {
    let mut spoken = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(open) = rest.find('<') {
        let (before, from_tag) = rest.split_at(open);
        spoken.push_str(before);
        let end = from_tag.find('>').filter(|end| is_tag(&from_tag[1..*end]));
        match end {
            Some(end) => {
                let is_break = from_tag[1..].starts_with("br") || from_tag[1..].starts_with("hr");
                spoken.push_str(if is_break { " " } else { "" });
                rest = &from_tag[end + 1..];
            }
            None => {
                spoken.push('<');
                rest = &from_tag[1..];
            }
        }
    }
    spoken.push_str(rest);
    if spoken.contains('&') {
        for (name, character) in ENTITIES {
            spoken = spoken.replace(name, character);
        }
    }
    spoken
}

/// Whether this stands in angle brackets because it is a tag.
fn is_tag(text: &str) -> bool {
    let text = text.strip_prefix('/').unwrap_or(text);
    let name = text.split([' ', '/']).next().unwrap_or(text);
    TAGS.contains(&name.to_ascii_lowercase().as_str())
}
