//! [`Visitor`]: somebody in front of a headless Chromium.

use std::ffi::OsStr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use std::{fs, thread};

use anyhow::{Context, Result, ensure};
use headless_chrome::browser::tab::point::Point;
use headless_chrome::protocol::cdp::Emulation::{MediaFeature, SetDeviceMetricsOverride, SetEmulatedMedia};
use headless_chrome::protocol::cdp::Page::CaptureScreenshotFormatOption;
use headless_chrome::protocol::cdp::Runtime::RemoteObject;
use headless_chrome::protocol::cdp::types::Event;
use headless_chrome::{Browser, LaunchOptions, Tab};
use serde_json::{Value, from_value, json};

/// How long anything may take, on a slow machine.
const LIMIT: Duration = Duration::from_secs(120);

/// A page in a browser, and what the browser says is wrong with it.
pub struct Visitor {
    /// It ends with this value.
    _browser: Browser,
    tab: Arc<Tab>,
    complaints: Arc<Mutex<Vec<String>>>,
}

impl Visitor {
    pub fn new(address: &str) -> Result<Self> {
        let arguments = ["--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-dev-shm-usage"];
        let options = LaunchOptions::default_builder()
            .path(Some("/usr/bin/chromium".into()))
            // In CI this is root, who has none.
            .sandbox(false)
            .args(arguments.map(OsStr::new).to_vec())
            .idle_browser_timeout(LIMIT)
            .build()?;
        let browser = Browser::new(options)?;
        let tab = browser.new_tab()?;
        let complaints = Arc::<Mutex<Vec<String>>>::default();
        let heard = complaints.clone();
        let hear = move |event: &Event| {
            let words = match event {
                Event::LogEntryAdded(event) => format!("{:?}", event.params.entry),
                Event::RuntimeExceptionThrown(event) => format!("{:?}", event.params.exception_details),
                Event::RuntimeConsoleAPICalled(event) => words_of(&event.params.args),
                _ => return,
            };
            heard.lock().expect("nobody panics with it").push(words);
        };
        tab.enable_log()?.enable_runtime()?.add_event_listener(Arc::new(hear))?;
        tab.navigate_to(address)?.wait_until_navigated()?;
        Ok(Visitor { _browser: browser, tab, complaints })
    }

    /// What errors, exceptions and words there were in the console.
    pub fn complaints(&self) -> Vec<String> {
        self.complaints.lock().expect("nobody panics with it").clone()
    }

    /// What an expression of JavaScript is.
    pub fn value(&self, expression: &str) -> Result<Value> {
        Ok(self.tab.evaluate(expression, false)?.value.unwrap_or_default())
    }

    /// What an element says.
    pub fn text(&self, selector: &str) -> Result<String> {
        let value = self.value(&format!("document.querySelector({selector:?}).textContent"))?;
        Ok(value.as_str().with_context(|| format!("{selector} has a text"))?.to_string())
    }

    /// Chooses in the list with this name.
    pub fn choose(&self, list: &str, choice: &str) -> Result<()> {
        self.value(&format!("document.getElementById({list:?}).value = {choice:?}"))?;
        Ok(())
    }

    pub fn click(&self, selector: &str) -> Result<()> {
        self.tab.find_element(selector)?.click()?;
        Ok(())
    }

    /// Moves the mouse into an element: to a part of its width and height.
    pub fn point_into(&self, selector: &str, across: f64, down: f64) -> Result<()> {
        let place = self.tab.find_element(selector)?.get_box_model()?.content;
        let (width, height) = (place.top_right.x - place.top_left.x, place.bottom_left.y - place.top_left.y);
        self.tab.move_mouse_to_point(Point { x: place.top_left.x + across * width, y: place.top_left.y + down * height })?;
        Ok(())
    }

    /// Waits until an expression is true.
    pub fn wait_for(&self, expression: &str) -> Result<()> {
        let begin = Instant::now();
        while self.value(expression)? != Value::Bool(true) {
            let is_in_vain = !self.complaints().is_empty() || begin.elapsed() > LIMIT;
            ensure!(!is_in_vain, "waited in vain for {expression}; the page says: {}", self.text("body")?);
            thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Makes the window so wide and so high.
    pub fn set_window(&self, width: u32, height: u32) -> Result<()> {
        let metrics = json!({ "width": width, "height": height, "deviceScaleFactor": 1.5, "mobile": false });
        self.tab.call_method(from_value::<SetDeviceMetricsOverride>(metrics)?)?;
        Ok(())
    }

    /// Makes the system `light` or `dark`.
    pub fn set_scheme(&self, scheme: &str) -> Result<()> {
        let feature = MediaFeature { name: "prefers-color-scheme".into(), value: scheme.into() };
        self.tab.call_method(SetEmulatedMedia { media: None, features: Some(vec![feature]) })?;
        Ok(())
    }

    /// Saves what the window shows.
    pub fn save_screenshot(&self, file: &Path) -> Result<()> {
        let picture = self.tab.capture_screenshot(CaptureScreenshotFormatOption::Png, None, None, true)?;
        fs::create_dir_all(file.parent().context("a file in a folder")?)?;
        fs::write(file, picture)?;
        println!("screenshot: {}", file.display());
        Ok(())
    }
}

/// What was written to the console.
fn words_of(arguments: &[RemoteObject]) -> String {
    let word = |argument: &RemoteObject| argument.description.clone().or(argument.value.as_ref().map(Value::to_string));
    arguments.iter().filter_map(word).collect::<Vec<_>>().join(" ")
}
