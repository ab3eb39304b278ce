//! Folded stacks and a flame graph of them, as an SVG that needs nothing else.

use std::{collections::BTreeMap, fmt::Write};

const WIDTH: f64 = 1_600.0;
const ROW: f64 = 16.0;
/// Narrower frames are left out.
const NARROW: f64 = 0.4;
/// Width of a letter of the font.
const LETTER: f64 = 6.6;

/// How often each stack was seen, its outermost frame first.
#[derive(Debug, Default)]
pub(crate) struct Stacks(BTreeMap<Vec<String>, u64>);

impl Stacks {
    /// Reads what `perf script -F comm,ip,sym` writes.
    pub(crate) fn parse(script: &str) -> Self {
        let mut stacks = Self::default();
        for sample in script.split("\n\n") {
            let mut lines = sample.lines().filter(|line| !line.trim().is_empty());
            let Some(thread) = lines.next() else { continue };
            let frame = |line: &str| {
                let line = line.trim();
                let symbol = line.split_once(' ').map_or(line, |(_, symbol)| symbol);
                plain(symbol)
            };
            let mut stack: Vec<String> = lines.map(frame).collect();
            stack.push(thread.trim().to_owned());
            stack.reverse();
            *stacks.0.entry(stack).or_default() += 1;
        }
        stacks
    }

    pub(crate) fn samples(&self) -> u64 {
        self.0.values().sum()
    }

    /// The form that other tools read: frames joined by semicolons, and the count.
    pub(crate) fn folded(&self) -> String {
        let mut text = String::new();
        for (stack, count) in &self.0 {
            // Writing into a string cannot fail.
            let _ = writeln!(text, "{} {count}", stack.join(";"));
        }
        text
    }

    /// How many samples ended in each function, the most first.
    pub(crate) fn by_self(&self) -> Vec<(&str, u64)> {
        self.by(|stack| stack.last().into_iter().collect())
    }

    /// How many samples had each function on the stack, the most first.
    pub(crate) fn by_total(&self) -> Vec<(&str, u64)> {
        self.by(|stack| {
            let mut frames: Vec<&String> = stack.iter().skip(1).collect();
            frames.sort_unstable();
            frames.dedup();
            frames
        })
    }

    fn by<'a>(&'a self, counted: impl Fn(&'a [String]) -> Vec<&'a String>) -> Vec<(&'a str, u64)> {
        let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
        for (stack, count) in &self.0 {
            for frame in counted(stack) {
                *counts.entry(frame.as_str()).or_default() += count;
            }
        }
        let mut counts: Vec<_> = counts.into_iter().collect();
        counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        counts
    }

    /// Draws the flame graph.
    pub(crate) fn svg(&self, title: &str) -> String {
        let mut root = Frame::default();
        for (stack, count) in &self.0 {
            root.add(stack, *count);
        }
        let height = ROW * (root.depth() as f64 + 2.0);
        let mut text = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
             font-family=\"monospace\" font-size=\"11\">\n\
             <rect width=\"100%\" height=\"100%\" fill=\"#fffdf8\"/>\n\
             <text x=\"4\" y=\"12\">{}: {} samples</text>\n",
            escaped(title),
            root.count
        );
        let scale = WIDTH / root.count.max(1) as f64;
        root.draw(&mut text, 0.0, height, scale, root.count);
        text.push_str("</svg>\n");
        text
    }
}

/// A function under a certain stack.
#[derive(Debug, Default)]
struct Frame {
    count: u64,
    inner: BTreeMap<String, Frame>,
}

impl Frame {
    fn add(&mut self, stack: &[String], count: u64) {
        self.count += count;
        if let Some((first, rest)) = stack.split_first() {
            self.inner.entry(first.clone()).or_default().add(rest, count);
        }
    }

    fn depth(&self) -> usize {
        self.inner
            .values()
            .map(|frame| 1 + frame.depth())
            .max()
            .unwrap_or(0)
    }

    /// Draws what is within, from the bottom up.
    fn draw(&self, text: &mut String, mut x: f64, bottom: f64, scale: f64, all: u64) {
        let y = bottom - ROW;
        for (name, frame) in &self.inner {
            let width = frame.count as f64 * scale;
            if width >= NARROW {
                let share = 100.0 * frame.count as f64 / all.max(1) as f64;
                let letters = (width / LETTER) as usize;
                let label: String = if letters > 3 {
                    name.chars().take(letters).collect()
                } else {
                    String::new()
                };
                let _ = writeln!(
                    text,
                    "<g><title>{} ({} samples, {share:.2} %)</title>\
                     <rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{:.1}\" fill=\"{}\"/>\
                     <text x=\"{:.1}\" y=\"{:.1}\">{}</text></g>",
                    escaped(name),
                    frame.count,
                    ROW - 1.0,
                    colour(name),
                    x + 2.0,
                    y + 11.0,
                    escaped(&label)
                );
                frame.draw(text, x, y, scale, all);
            }
            x += width;
        }
    }
}

/// A warm colour that is the same for the same name.
fn colour(name: &str) -> String {
    let hash = name.bytes().fold(7_u32, |hash, byte| {
        hash.wrapping_mul(31).wrapping_add(byte.into())
    });
    format!("hsl({},80%,{}%)", hash % 50, 62 + hash / 64 % 16)
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

/// A symbol without its hash.
fn plain(symbol: &str) -> String {
    match symbol.rsplit_once("::h") {
        Some((name, hash)) if hash.len() == 16 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()) => {
            name.to_owned()
        }
        _ => symbol.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCRIPT: &str = "actors\n\t    55 step\n\t    66 run::h0123456789abcdef\n\nactors\n\t    57 step\n\t    66 run\n\n\
                          tokio\n\t    77 poll<T>\n";

    #[test]
    fn stacks_are_folded() {
        let stacks = Stacks::parse(SCRIPT);
        assert_eq!(stacks.folded(), "actors;run;step 2\ntokio;poll<T> 1\n");
        assert_eq!(stacks.samples(), 3);
        assert_eq!(stacks.by_self()[0], ("step", 2));
        assert_eq!(stacks.by_total()[0], ("run", 2));
    }

    #[test]
    fn a_graph_is_drawn() {
        let svg = Stacks::parse(SCRIPT).svg("noop & more");
        assert!(
            svg.contains("noop &amp; more: 3 samples") && svg.contains("<title>step (2 samples, 66.67 %)")
        );
        assert!(svg.contains("poll&lt;T&gt;"));
    }
}
