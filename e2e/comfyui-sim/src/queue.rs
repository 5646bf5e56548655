//! The waiting, running and finished prompts. Like ComfyUI's queue it is in memory only.
use std::collections::{HashMap, VecDeque};

use serde_json::{Map, Value, json};

use crate::python_json;

/// The length of the history. ComfyUI drops an entry only when another prompt ends.
const HISTORY: usize = 10_000;

/// A prompt in the queue.
#[derive(Debug, Clone)]
pub(crate) struct Item {
    /// The prompt's place; the lowest number runs first.
    pub(crate) number: f64,
    pub(crate) id: String,
    pub(crate) prompt: Map<String, Value>,
    pub(crate) extra: Map<String, Value>,
    /// The outputs to make.
    pub(crate) outputs: Vec<String>,
}

impl Item {
    /// The client that sent the prompt, if it gave a name.
    pub(crate) fn client(&self) -> Option<&String> {
        match self.extra.get("client_id") {
            Some(Value::String(id)) => Some(id),
            _ => None,
        }
    }

    /// The entry that `/queue` and `/history` show.
    pub(crate) fn to_json(&self) -> Value {
        json!([number(self.number), self.id, self.prompt, self.extra, self.outputs])
    }
}

/// A whole number without `.0`, as the counter's numbers are.
#[allow(clippy::cast_possible_truncation, reason = "only when nothing is cut off")]
pub(crate) fn number(value: f64) -> Value {
    if value.fract() == 0.0 && value.abs() < 1e15 { json!(value as i64) } else { json!(value) }
}

/// The result of a prompt.
#[derive(Debug, Clone)]
pub(crate) struct Outcome {
    pub(crate) success: bool,
    /// The output that each output node shows.
    pub(crate) outputs: Map<String, Value>,
    /// `[name, data]` of every message that the prompt caused.
    pub(crate) messages: Vec<Value>,
}

/// The prompt could not be compared with one of the same number and id. It is queued nevertheless.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Incomparable;

/// The queue and the history.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    pending: VecDeque<Item>,
    running: Option<Item>,
    /// The entries as JSON text, because ten thousand parsed entries need six times the memory.
    history: HashMap<String, String>,
    /// The ids in `history`, oldest first.
    finished: VecDeque<String>,
}

impl Queue {
    /// Puts a prompt in its place.
    pub(crate) fn put(&mut self, item: Item) -> Result<(), Incomparable> {
        let before = |other: &Item| (other.number, &other.id) <= (item.number, &item.id);
        let place = self.pending.partition_point(before);
        let twin = place.checked_sub(1).and_then(|i| self.pending.get(i));
        let result = match twin {
            Some(twin) if twin.number == item.number && twin.id == item.id => Err(Incomparable),
            _ => Ok(()),
        };
        self.pending.insert(place, item);
        result
    }

    /// Makes the first prompt the running one.
    pub(crate) fn start(&mut self) -> Option<Item> {
        self.running = self.pending.pop_front();
        self.running.clone()
    }

    /// Moves the running prompt to the history.
    pub(crate) fn finish(&mut self, outcome: Outcome) {
        let Some(item) = self.running.take() else { return };
        let Outcome { success, outputs, messages } = outcome;
        let about =
            |id: &String| json!({"node_id": id, "display_node": id, "parent_node": null, "real_node_id": id});
        let meta: Map<String, Value> = outputs.keys().map(|id| (id.clone(), about(id))).collect();
        let status_str = if success { "success" } else { "error" };
        let status = json!({"status_str": status_str, "completed": success, "messages": messages});
        let entry = json!({"prompt": item.to_json(), "outputs": outputs, "status": status, "meta": meta});
        if self.finished.len() > HISTORY
            && let Some(oldest) = self.finished.pop_front()
        {
            self.history.remove(&oldest);
        }
        if self.history.insert(item.id.clone(), python_json::text(&entry)).is_none() {
            self.finished.push_back(item.id);
        }
    }

    /// Prompts that the history has.
    pub(crate) fn remembered(&self) -> usize {
        self.finished.len()
    }

    /// Prompts that wait or run.
    pub(crate) fn remaining(&self) -> usize {
        self.pending.len() + usize::from(self.running.is_some())
    }

    pub(crate) fn is_running(&self, id: &str) -> bool {
        self.running.as_ref().is_some_and(|running| running.id == id)
    }

    /// Takes a waiting prompt off.
    pub(crate) fn delete(&mut self, id: &str) {
        self.pending.retain(|item| item.id != id);
    }

    /// Takes all waiting prompts off.
    pub(crate) fn clear(&mut self) {
        self.pending.clear();
    }

    /// As `/queue` shows it.
    pub(crate) fn to_json(&self) -> Value {
        let list = |items: Vec<Value>| Value::Array(items);
        json!({
            "queue_running": list(self.running.iter().map(Item::to_json).collect()),
            "queue_pending": list(self.pending.iter().map(Item::to_json).collect()),
        })
    }

    /// One prompt's history as JSON text, or an empty object.
    pub(crate) fn history_of(&self, id: &str) -> String {
        self.history_json(std::iter::once(id))
    }

    /// The latest `max` prompts' history, as JSON text.
    pub(crate) fn history(&self, max: Option<usize>) -> String {
        let skip = max.map_or(0, |max| self.finished.len().saturating_sub(max));
        self.history_json(self.finished.iter().skip(skip).map(String::as_str))
    }

    fn history_json<'a>(&self, ids: impl Iterator<Item = &'a str>) -> String {
        let field = |id| self.history.get(id).map(|entry| format!("{}: {entry}", json!(id)));
        format!("{{{}}}", ids.filter_map(field).collect::<Vec<_>>().join(", "))
    }

    /// Forgets one prompt, or all.
    pub(crate) fn forget(&mut self, id: Option<&str>) {
        match id {
            Some(id) => {
                self.history.remove(id);
                self.finished.retain(|finished| finished != id);
            }
            None => {
                self.history.clear();
                self.finished.clear();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(number: f64, id: &str) -> Item {
        let id = id.to_owned();
        Item { number, id, prompt: Map::new(), extra: Map::new(), outputs: Vec::new() }
    }

    #[test]
    fn prompts_run_by_number_and_twins_run_twice() {
        let mut queue = Queue::default();
        assert_eq!(queue.put(item(2.0, "b")), Ok(()));
        assert_eq!(queue.put(item(-1.0, "front")), Ok(()));
        assert_eq!(queue.put(item(2.0, "a")), Ok(()));
        assert_eq!(queue.put(item(2.0, "a")), Err(Incomparable));
        let order: Vec<String> = std::iter::from_fn(|| queue.start().map(|item| item.id)).collect();
        assert_eq!(order, ["front", "a", "a", "b"]);
    }

    #[test]
    fn the_history_forgets_the_oldest() {
        let mut queue = Queue::default();
        for i in 0..=HISTORY + 1 {
            queue.put(item(0.0, &i.to_string())).unwrap();
            queue.start();
            queue.finish(Outcome { success: true, outputs: Map::new(), messages: Vec::new() });
        }
        assert_eq!(queue.history_of("0"), "{}");
        let read = |json: String| serde_json::from_str::<Map<String, Value>>(&json).unwrap().len();
        assert_eq!((read(queue.history_of("1")), read(queue.history(Some(2)))), (1, 2));
    }
}
