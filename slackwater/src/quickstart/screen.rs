//! What the quick start prints. Lines are readable without colour; on a terminal a progress line is drawn
//! over itself, elsewhere it is printed when a quarter more is done.

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use tokio::time::Instant;

/// Width of a progress bar in characters.
const BAR: usize = 30;

/// The place where the story is told.
pub struct Screen {
    out: Box<dyn Write + Send>,
    terminal: bool,
    started: Instant,
    step: usize,
    drawn: Option<Drawn>,
}

/// The progress line that stands on the screen.
struct Drawn {
    quarter: u8,
    length: usize,
}

impl Screen {
    /// Standard output.
    #[must_use]
    pub fn stdout() -> Self {
        Self::new(Box::new(io::stdout()), io::stdout().is_terminal())
    }

    /// Any output; `terminal` tells whether lines can be drawn over.
    #[must_use]
    pub fn new(out: Box<dyn Write + Send>, terminal: bool) -> Self {
        Self {
            out,
            terminal,
            started: Instant::now(),
            step: 0,
            drawn: None,
        }
    }

    /// Begins a numbered part of the story.
    pub fn step(&mut self, title: &str) -> io::Result<()> {
        self.step += 1;
        let step = self.step;
        self.finish_progress()?;
        writeln!(self.out, "\n{step}. {title}")
    }

    /// A line with the time since the start.
    pub fn line(&mut self, text: &str) -> io::Result<()> {
        self.finish_progress()?;
        let elapsed = seconds(self.started.elapsed());
        writeln!(self.out, "   {elapsed}  {text}")?;
        self.out.flush()
    }

    /// Text without time or indent: a title or a table.
    pub fn plain(&mut self, text: &str) -> io::Result<()> {
        self.finish_progress()?;
        writeln!(self.out, "{text}")?;
        self.out.flush()
    }

    /// How far something is: `percent` from 0 to 100.
    pub fn progress(&mut self, what: &str, percent: u8) -> io::Result<()> {
        let quarter = percent / 25;
        let line = format!(
            "   {}  {} {percent:>3} %  {what}",
            seconds(self.started.elapsed()),
            bar(percent)
        );
        if self.terminal {
            let clear = self
                .drawn
                .as_ref()
                .map_or(0, |drawn| drawn.length)
                .saturating_sub(line.len());
            write!(self.out, "\r{line}{:clear$}", "")?;
            self.drawn = Some(Drawn {
                quarter,
                length: line.len(),
            });
        } else if self.drawn.as_ref().is_none_or(|drawn| drawn.quarter != quarter) {
            writeln!(self.out, "{line}")?;
            self.drawn = Some(Drawn { quarter, length: 0 });
        }
        self.out.flush()
    }

    fn finish_progress(&mut self) -> io::Result<()> {
        match self.drawn.take() {
            Some(_) if self.terminal => writeln!(self.out),
            _ => Ok(()),
        }
    }
}

fn bar(percent: u8) -> String {
    let filled = BAR * usize::from(percent.min(100)) / 100;
    format!("[{}{}]", "#".repeat(filled), "-".repeat(BAR - filled))
}

fn seconds(elapsed: Duration) -> String {
    format!("{:>6.2} s", elapsed.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Shared(Arc<Mutex<Vec<u8>>>);

    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn shown(terminal: bool) -> String {
        let out = Shared::default();
        let mut screen = Screen::new(Box::new(out.clone()), terminal);
        for percent in [0, 10, 24, 25, 60, 100] {
            screen.progress("snap-1", percent).unwrap();
        }
        screen.line("ready").unwrap();
        String::from_utf8(out.0.lock().unwrap().clone()).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_terminal_each_quarter_is_a_line() {
        let text = shown(false);
        assert_eq!(text.lines().count(), 5, "{text}");
        assert!(!text.contains('\r'));
        assert!(
            text.contains("[##################------------]  60 %  snap-1"),
            "{text}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn on_a_terminal_the_line_is_drawn_over() {
        let text = shown(true);
        assert_eq!(text.matches('\r').count(), 6);
        assert_eq!(text.lines().count(), 2, "{text}");
    }
}
