//! Markdown of jobs, as HTML that can do nothing: what `GITHUB_STEP_SUMMARY` says is written by whoever wrote the workflow.
//!
//! What Markdown lets through of HTML is cleaned by a library that knows what a browser makes of it: no scripts, styles, forms, frames or
//! images (the pages load nothing from elsewhere: an image is its description), and links to the web alone. Headings are all of one level, so that
//! a page's own outline stays whole.

use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;

use maud::{Markup, PreEscaped};
use pulldown_cmark::{CowStr, Event, HeadingLevel, Options, Parser, Tag, TagEnd, html::push_html};

/// The level of all headings.
const HEADING: HeadingLevel = HeadingLevel::H4;

static CLEANER: LazyLock<ammonia::Builder<'static>> = LazyLock::new(|| {
    let mut cleaner = ammonia::Builder::empty();
    cleaner
        .tags(HashSet::from([
            "a",
            "abbr",
            "b",
            "blockquote",
            "br",
            "code",
            "dd",
            "del",
            "details",
            "div",
            "dl",
            "dt",
            "em",
            "h4",
            "hr",
            "i",
            "ins",
            "kbd",
            "li",
            "ol",
            "p",
            "pre",
            "q",
            "s",
            "samp",
            "span",
            "strong",
            "sub",
            "summary",
            "sup",
            "table",
            "tbody",
            "td",
            "tfoot",
            "th",
            "thead",
            "tr",
            "tt",
            "ul",
            "var",
        ]))
        .clean_content_tags(HashSet::from(["script", "style"]))
        .tag_attributes(HashMap::from([
            ("a", HashSet::from(["href", "title"])),
            ("td", HashSet::from(["colspan", "rowspan"])),
            ("th", HashSet::from(["colspan", "rowspan"])),
            ("ol", HashSet::from(["start"])),
            ("details", HashSet::from(["open"])),
        ]))
        .url_schemes(HashSet::from(["http", "https", "mailto"]))
        .url_relative(ammonia::UrlRelative::Deny)
        .link_rel(Some("noopener noreferrer nofollow"));
    cleaner
});

/// The HTML of some Markdown.
pub(super) fn render(markdown: &str) -> Markup {
    let options = Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH | Options::ENABLE_TASKLISTS;
    let events = Parser::new_ext(markdown, options).map(plain);
    let mut html = String::new();
    push_html(&mut html, events);
    PreEscaped(CLEANER.clean(&html).to_string())
}

/// Without what no summary of ours has.
fn plain(event: Event<'_>) -> Event<'_> {
    match event {
        Event::Start(Tag::Heading { .. }) => {
            Event::Start(Tag::Heading { level: HEADING, id: None, classes: Vec::new(), attrs: Vec::new() })
        }
        Event::End(TagEnd::Heading(_)) => Event::End(TagEnd::Heading(HEADING)),
        Event::Start(Tag::Image { .. }) => Event::Start(Tag::Emphasis),
        Event::End(TagEnd::Image) => Event::End(TagEnd::Emphasis),
        // A field to fill in would be none.
        Event::TaskListMarker(done) => Event::Text(CowStr::from(if done { "☑ " } else { "☐ " })),
        Event::Html(html) => Event::Html(CowStr::from(with_one_heading(&html))),
        Event::InlineHtml(html) => Event::InlineHtml(CowStr::from(with_one_heading(&html))),
        event => event,
    }
}

/// Headings that are written as HTML, as the library `@actions/core` writes them.
fn with_one_heading(html: &str) -> String {
    let mut made = String::with_capacity(html.len());
    let mut rest = html;
    while let Some(at) = rest.find('<') {
        let (before, from) = rest.split_at(at);
        made.push_str(before);
        let (mark, name) = if from.starts_with("</") { from.split_at(2) } else { from.split_at(1) };
        let level = name.as_bytes().get(1).is_some_and(|level| (b'1'..=b'6').contains(level));
        let ends = name.as_bytes().get(2).is_none_or(|next| !next.is_ascii_alphanumeric());
        made.push_str(mark);
        rest = match level && ends && name.starts_with(['h', 'H']) {
            true => {
                made.push_str("h4");
                name.get(2..).unwrap_or_default()
            }
            false => name,
        };
    }
    made.push_str(rest);
    made
}

#[cfg(test)]
mod tests {
    use super::*;

    fn html(markdown: &str) -> String {
        render(markdown).into_string()
    }

    #[test]
    fn summaries_look_as_they_are_meant() {
        for (markdown, wanted) in [
            ("# One\n\n## Two", "<h4>One</h4>\n<h4>Two</h4>\n"),
            ("*a* **b** ~~c~~ `d`", "<p><em>a</em> <strong>b</strong> <del>c</del> <code>d</code></p>\n"),
            (
                "[site](https://example.com \"t\")",
                "<p><a href=\"https://example.com\" title=\"t\" rel=\"noopener noreferrer nofollow\">site</a></p>\n",
            ),
            ("- [x] done\n- [ ] open", "<ul>\n<li>☑ done</li>\n<li>☐ open</li>\n</ul>\n"),
            ("![a cat](https://example.com/cat.png)", "<p><em>a cat</em></p>\n"),
            // As `@actions/core` writes them.
            (
                "<h1>Tests</h1>\n<table><tr><th>a</th><td>1</td></tr></table>\n",
                "<h4>Tests</h4>\n<table><tbody><tr><th>a</th><td>1</td></tr></tbody></table>\n",
            ),
            (
                "<details><summary>More</summary>\n\ntext\n\n</details>",
                "<details><summary>More</summary>\n<p>text</p>\n</details>",
            ),
        ] {
            assert_eq!(html(markdown), wanted, "{markdown}");
        }
        let table = html("| a | b |\n|---|---|\n| 1 | 2 |\n");
        assert!(table.contains("<th>a</th>") && table.contains("<td>2</td>"), "{table}");
    }

    #[test]
    fn what_could_do_something_does_nothing() {
        for markdown in [
            "<script>alert(1)</script>",
            "<img src=x onerror=alert(1)>",
            "[x](javascript:alert(1))",
            "[x](data:text/html,1)",
            "<a href=\"java\tscript:alert(1)\" onclick=\"alert(1)\">x</a>",
            "<iframe src=https://example.com></iframe><object data=x></object><embed src=x>",
            "<form action=/runs/1/cancel method=post><button>x</button><input name=a></form>",
            "<style>body{display:none}</style><p style=\"position:fixed\" class=out id=main>x</p>",
            "<svg onload=alert(1)><math><mtext><script>alert(1)</script></mtext></math></svg>",
            "<a href=\"/runs/1\">x</a> [y](/sign-out)",
            "<h1 onmouseover=alert(1)>x</h1><base href=https://example.com><meta http-equiv=refresh content=0>",
            "<</h1script>alert(1)</script>",
        ] {
            let made = html(markdown).to_lowercase();
            for bad in [
                "<script",
                "<img",
                "javascript:",
                "data:",
                "onclick",
                "onerror",
                "onload",
                "onmouse",
                "<iframe",
                "<object",
                "<embed",
                "<form",
                "<button",
                "<input",
                "<style",
                "style=",
                "class=",
                "id=",
                "<svg",
                "<math",
                "href=\"/",
                "<base",
                "<meta",
                "<h1",
            ] {
                let escaped = made.replace("&lt;", "");
                assert!(!escaped.contains(bad) || !made.contains(bad), "{markdown}: {made}");
            }
        }
    }

    #[test]
    fn only_whole_names_of_headings_are_changed() {
        for (html, wanted) in [
            ("<h2 id=a>x</h2>", "<h4 id=a>x</h4>"),
            ("<H6>x</H6>", "<h4>x</h4>"),
            ("<hr><h7>x</h7><h1x>", "<hr><h7>x</h7><h1x>"),
            ("a < h1 > b <", "a < h1 > b <"),
            ("<ä", "<ä"),
        ] {
            assert_eq!(with_one_heading(html), wanted);
        }
    }
}
