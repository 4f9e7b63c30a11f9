//! The terminal: taken, given back however this program ends, and left to the shell meanwhile when it is suspended.
//!
//! Three threads wait: for the terminal, for signals, and for a snapshot (which may take seconds while xenstored hangs). The main
//! one takes what they send, and draws.

use super::app::{Action, App};
use super::view;
use crate::failure::{Failure, Outcome};
use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::event::{self, Event};
use ratatui::crossterm::terminal::{
    Clear, ClearType, EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};
use ratatui::crossterm::{cursor, execute, terminal};
use ratatui::layout::Rect;
use ratatui::{Terminal, TerminalOptions, Viewport};
use signal_hook::consts::{SIGCONT, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP};
use signal_hook::iterator::Signals;
use signal_hook::low_level::emulate_default_handler;
use std::io::{self, Stdout, Write as _, stdout};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};
use xenstat::collect::{Source, collect};
use xenstat::snapshot::Snapshot;

/// What a terminal is taken for that does not say its size, as serial lines.
const USUAL: Rect = Rect::new(0, 0, 80, 24);
/// Resizing a window makes many events: after one, others are waited for so long before all is drawn once.
const SETTLE: Duration = Duration::from_millis(10);

/// What the main thread waits for.
enum Message {
    /// From the terminal.
    Terminal(Event),
    /// The terminal cannot be read (any more).
    Gone(io::Error),
    /// A signal.
    Signal(i32),
    /// What was asked for, and when it was begun.
    Snapshot(Box<Snapshot>, Duration),
}

/// The terminal, while it is ours.
struct Screen(Terminal<CrosstermBackend<Stdout>>);

fn broken(error: impl std::fmt::Display) -> Failure {
    Failure::failed(format!("terminal: {error}"))
}

impl Screen {
    fn enter() -> Result<Screen, Failure> {
        let enter = || {
            enable_raw_mode()?;
            execute!(stdout(), EnterAlternateScreen, cursor::Hide, Clear(ClearType::All))?;
            let viewport = match terminal::size() {
                Ok((1.., 1..)) => Viewport::Fullscreen,
                _ => Viewport::Fixed(USUAL),
            };
            Terminal::with_options(CrosstermBackend::new(stdout()), TerminalOptions { viewport })
        };
        let screen = enter();
        if screen.is_err() {
            leave();
        }
        screen.map(Screen).map_err(broken)
    }

    fn draw(&mut self, app: &mut App) -> Result<(), Failure> {
        // A panic of another thread waits until all of it is drawn.
        let _whole = stdout().lock();
        self.0.draw(|frame| view::draw(frame, app)).map(drop).map_err(broken)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        leave();
    }
}

/// Gives the terminal back as it was. More than once does no harm; what fails cannot be told anywhere.
fn leave() {
    let _ = execute!(stdout(), LeaveAlternateScreen, cursor::Show);
    let _ = disable_raw_mode();
    let _ = stdout().flush();
}

/// A panic's message is to be read, and the shell behind it to be used.
fn leave_on_panic() {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        // Nothing is drawn any more: the panic ends this process.
        std::mem::forget(stdout().lock());
        leave();
        before(info);
    }));
}

/// Starts who waits; gives the way to ask for a snapshot.
fn start(mut source: impl Source + Send + 'static, to: &Sender<Message>) -> Result<Sender<()>, Failure> {
    let mut signals = Signals::new([SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGTSTP, SIGCONT])
        .map_err(|error| Failure::failed(format!("cannot take signals: {error}")))?;
    let spawn = |name: &str, run: Box<dyn FnOnce() + Send>| {
        let thread = thread::Builder::new().name(name.to_owned()).spawn(run);
        thread.map(drop).map_err(|error| Failure::failed(format!("cannot start a thread: {error}")))
    };
    let (ask, asked) = mpsc::channel();
    let send = to.clone();
    let since = Instant::now();
    let snapshots = move || {
        for () in asked {
            // The domains' times are read first; what is asked after them may take its time.
            let begun = since.elapsed();
            let snapshot = Box::new(collect(&mut source));
            if send.send(Message::Snapshot(snapshot, begun)).is_err() {
                return;
            }
        }
    };
    spawn("snapshots", Box::new(snapshots))?;
    let send = to.clone();
    let signals = move || {
        for signal in signals.forever() {
            if send.send(Message::Signal(signal)).is_err() {
                return;
            }
        }
    };
    spawn("signals", Box::new(signals))?;
    let send = to.clone();
    let keys = move || {
        loop {
            let (message, end) = match event::read() {
                Ok(event) => (Message::Terminal(event), false),
                Err(error) => (Message::Gone(error), true),
            };
            if send.send(message).is_err() || end {
                return;
            }
        }
    };
    spawn("keys", Box::new(keys))?;
    Ok(ask)
}

/// Shows domains until the user has seen enough.
pub fn run(source: impl Source + Send + 'static, mut app: App, iterations: Option<u64>) -> Outcome {
    leave_on_panic();
    let mut screen = Some(Screen::enter()?);
    let (to, messages) = mpsc::channel();
    let ask = start(source, &to)?;
    let (mut waiting, mut next, mut rounds) = (false, Instant::now(), 0);
    loop {
        if !waiting && Instant::now() >= next {
            // It cannot fail as long as the thread lives, and that ends only with us.
            waiting = ask.send(()).is_ok();
            next = Instant::now() + app.settings.delay;
        }
        if let Some(screen) = &mut screen {
            screen.draw(&mut app)?;
        }
        // While a snapshot is under way, there is nothing else to wait for.
        let most = if waiting { app.settings.delay } else { next.saturating_duration_since(Instant::now()) };
        let message = match messages.recv_timeout(most) {
            Ok(message) => message,
            Err(RecvTimeoutError::Timeout) => continue,
            Err(RecvTimeoutError::Disconnected) => return Ok(()),
        };
        let action = match message {
            Message::Snapshot(snapshot, at) => {
                waiting = false;
                app.take(*snapshot, at);
                rounds += 1;
                match iterations {
                    Some(most) if rounds >= most => Action::Quit,
                    _ => Action::None,
                }
            }
            Message::Terminal(Event::Key(key)) => {
                let action = app.key(key);
                next = next.min(Instant::now() + app.settings.delay);
                action
            }
            Message::Terminal(Event::Resize(..)) => {
                thread::sleep(SETTLE);
                Action::None
            }
            Message::Terminal(_) => Action::None,
            Message::Gone(error) => return Err(broken(error)),
            Message::Signal(SIGCONT) => Action::Redraw,
            Message::Signal(SIGTSTP) => Action::Suspend,
            Message::Signal(signal) => {
                drop(screen);
                // Whoever waits for us sees that it was the signal.
                let _ = emulate_default_handler(signal);
                return Ok(());
            }
        };
        match action {
            Action::None => {}
            Action::Ask => next = Instant::now(),
            Action::Quit => return Ok(()),
            Action::Redraw => {
                // The shell may have set the terminal otherwise.
                screen.take();
                screen = Some(Screen::enter()?);
            }
            Action::Suspend => {
                screen.take();
                emulate_default_handler(SIGTSTP).map_err(broken)?;
                screen = Some(Screen::enter()?);
            }
        }
    }
}

#[cfg(test)]
mod tests;
