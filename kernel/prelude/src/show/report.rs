//! Charts and reports.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use glisten::analytics::Chart;
use glisten::report::Report;
use glisten_reports::Svg;

use super::{MimeBundle, Show, escape};

impl Show for Chart {
    fn mime_bundle(&self) -> MimeBundle {
        drawing(self.description(), self.svg()).with("image/svg+xml", self.svg())
    }
}

impl Show for Svg {
    fn mime_bundle(&self) -> MimeBundle {
        drawing(self.description(), self.as_str()).with("image/svg+xml", self.as_str())
    }
}

/// An SVG as an image in HTML: no wider than the page, shown also where a notebook is not trusted, and in the colours of
/// Jupyter's theme. (An image's `prefers-color-scheme` is the `color-scheme` of what it stands in.)
pub(crate) fn drawing(description: &str, svg: &str) -> MimeBundle {
    const STYLE: &str = "<style>[data-jp-theme-light=false] .glisten-chart{color-scheme:dark}\
        [data-jp-theme-light=true] .glisten-chart{color-scheme:light}</style>";
    let data = base64::engine::general_purpose::STANDARD.encode(svg);
    let alt = escape(description);
    MimeBundle::text(description).html(format!(
        r#"{STYLE}<div class="glisten-chart"><img alt="{alt}" src="data:image/svg+xml;base64,{data}" style="max-width:100%"></div>"#
    ))
}

impl Show for Report {
    /// A link, where the front end's server can follow it: Jupyter names the folder that it serves.
    fn mime_bundle(&self) -> MimeBundle {
        let folder = std::env::current_dir().and_then(|folder| folder.canonicalize());
        let served = std::env::var_os("JUPYTER_SERVER_ROOT").map(PathBuf::from);
        let served = served.and_then(|folder| folder.canonicalize().ok());
        let link = folder.ok().and_then(|folder| link(self.path(), &folder, served.as_deref()));
        let size = format!("{:.0} kB", self.n_bytes() as f64 / 1e3);
        let path = escape(&self.path().to_string_lossy());
        let html = match link {
            Some(link) => {
                let name = escape(&self.path().file_name().unwrap_or_default().to_string_lossy());
                format!(
                    r#"<a href="{}" target="_blank"><b>{name}</b></a> · {size} · <small style="opacity:.65">{path}</small>"#,
                    escape(&url(&link))
                )
            }
            None => format!("<b>{path}</b> · {size}"),
        };
        MimeBundle::text(self.to_string()).html(format!(r#"<div class="glisten-report">{html}</div>"#))
    }
}

/// `file` as seen from `folder`, where a notebook's links begin: if it lies below, or both below the folder that is served.
fn link(file: &Path, folder: &Path, served: Option<&Path>) -> Option<String> {
    let mut up = String::new();
    for base in folder.ancestors() {
        if let Ok(rest) = file.strip_prefix(base) {
            return Some(format!("{up}{}", rest.to_string_lossy()));
        }
        if !served.is_some_and(|served| base.starts_with(served) && base != served) {
            return None;
        }
        up.push_str("../");
    }
    None
}

/// A path with the characters replaced that would end it as part of a URL.
fn url(path: &str) -> String {
    path.chars()
        .map(|c| match c {
            '%' | '?' | '#' | ' ' | '"' | '\\' | ':' => format!("%{:02X}", c as u32),
            c => c.to_string(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_leads_from_the_notebook_to_the_file_and_not_out_of_what_is_served() {
        let link = |file: &str, served| link(Path::new(file), Path::new("/srv/a/b"), Some(Path::new(served)));
        assert_eq!(link("/srv/a/b/r.html", "/elsewhere").as_deref(), Some("r.html"));
        assert_eq!(link("/srv/a/c/r.html", "/srv").as_deref(), Some("../c/r.html"));
        assert_eq!(link("/srv/r.html", "/srv").as_deref(), Some("../../r.html"));
        assert_eq!(link("/srv/a/r.html", "/elsewhere"), None);
        assert_eq!(link("/tmp/r.html", "/srv"), None);
        assert_eq!(url("a b#c?.html"), "a%20b%23c%3F.html");
    }
}
