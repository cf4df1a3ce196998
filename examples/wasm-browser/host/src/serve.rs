//! [`Site`]: a server for one browser on the same machine.

use std::fs;
use std::path::{Component, Path, PathBuf};

use anyhow::{Result, anyhow};
use tiny_http::{Header, Request, Response, Server};

/// What a page needs to share memory with its workers.
const ISOLATION: [(&str, &str); 2] =
    [("Cross-Origin-Opener-Policy", "same-origin"), ("Cross-Origin-Embedder-Policy", "require-corp")];

/// The page and the modules, at an address of this machine.
pub struct Site {
    server: Server,
    /// Where files are looked for, in this order.
    folders: [PathBuf; 2],
}

impl Site {
    /// With the modules in `built`, at a port, or at any that is free if it is 0.
    pub fn new(built: PathBuf, port: u16) -> Result<Self> {
        let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../page");
        let server = Server::http(("127.0.0.1", port)).map_err(|error| anyhow!("port {port}: {error}"))?;
        Ok(Site { server, folders: [page, built] })
    }

    /// Where the page is.
    pub fn address(&self) -> String {
        format!("http://{}/", self.server.server_addr())
    }

    /// Answers requests.
    pub fn serve(&self) {
        for request in self.server.incoming_requests() {
            let answered = self.answer(request);
            if let Err(error) = answered {
                eprintln!("a request was not answered: {error}");
            }
        }
    }

    fn answer(&self, request: Request) -> std::io::Result<()> {
        let path = request.url().split('?').next().unwrap_or_default().trim_start_matches('/');
        let path = PathBuf::from(if path.is_empty() { "index.html" } else { path });
        let is_inside = path.components().all(|part| matches!(part, Component::Normal(_)));
        let found = self.folders.iter().find_map(|folder| fs::read(folder.join(&path)).ok());
        let Some(bytes) = found.filter(|_| is_inside) else {
            return request.respond(Response::empty(404));
        };
        let mut response = Response::from_data(bytes);
        let fixed = [("Content-Type", content_type(&path)), ("Cache-Control", "no-store")];
        for (name, value) in fixed.into_iter().chain(ISOLATION) {
            response.add_header(Header::from_bytes(name, value).expect("a header in ASCII"));
        }
        request.respond(response)
    }
}

fn content_type(path: &Path) -> &'static str {
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("html") => "text/html; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("wasm") => "application/wasm",
        _ => "application/octet-stream",
    }
}
