//! Lays out the pages of the host application in the demo.

/// A page with that title and that content, which is HTML.
pub(crate) fn page(title: &str, content: &str) -> String {
    let title = escaped(title);
    format!(
        "<!doctype html>\n<html lang=\"en\">\n{HEAD}<title>{title}</title>\n\
         <main>\n<h1>{title}</h1>\n{content}\n</main>\n</html>\n"
    )
}

/// Text for a place between tags, or within an attribute's quotes.
pub(crate) fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

const HEAD: &str = r#"<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<style>
  :root { --paper: oklch(.95 .015 85); --ink: oklch(.32 .015 145); --card: oklch(.97 .015 82);
          --line: oklch(.80 .025 75); --green: oklch(.40 .06 135); --on-green: oklch(.97 .015 85) }
  @media (prefers-color-scheme: dark) {
    :root { --paper: oklch(.18 .012 55); --ink: oklch(.93 .012 80); --card: oklch(.24 .015 55);
            --line: oklch(.38 .02 55); --green: oklch(.55 .10 160); --on-green: oklch(.15 .01 55) }
  }
  body { margin: 0; min-height: 100vh; display: grid; place-items: center;
         background: var(--paper); color: var(--ink); font: 1.05rem/1.6 Georgia, serif }
  main { background: var(--card); border: 1px solid var(--line); border-radius: .75rem;
         margin: 1rem; padding: 2rem 2.5rem; max-width: 26rem; overflow-wrap: anywhere }
  h1 { font-size: 1.6rem; font-weight: 600; margin: 0 0 .5rem }
  form, .on { margin: 1rem 0 0 }
  button, .on a { display: block; box-sizing: border-box; width: 100%; min-height: 44px;
           padding: .5rem 1rem; font: inherit; text-align: center; text-decoration: none; border: 0;
           border-radius: .5rem; background: var(--green); color: var(--on-green); cursor: pointer }
  button:focus-visible, .on a:focus-visible { outline: 2px solid var(--green); outline-offset: 2px }
  .aside { font-size: .9rem; opacity: .8 }
  :target { border-left: 3px solid var(--green); padding-left: .75rem }
</style>
"#;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_is_shown_is_markup() {
        let odd = "<img src=x onerror=\"alert('&')\">";
        let shown = "&lt;img src=x onerror=&quot;alert(&#39;&amp;&#39;)&quot;&gt;";
        assert_eq!(escaped(odd), shown);
        let page = page(odd, "<p>as it is</p>");
        assert!(!page.contains("<img") && page.contains("<p>as it is</p>"), "{page}");
    }
}
