//! Whoever waits for a message is woken when there is one: if everybody who was woken has looked and somebody of a
//! consumer group still waits, then there is nothing for the group.

use crate::world::World;

/// Lets woken consumers look, then looks itself on behalf of those who still wait. Right after a step of the log thread.
pub(crate) fn no_wake_is_lost(world: &mut World) -> Result<(), String> {
    world.run_woken()?;
    world.run_woken_pulls()?;
    for (reader, topic) in world.still_waiting() {
        // A look of its own: it must not be given what another one holds.
        world.tries.remove(&(reader, topic.clone()));
        let found = world.receive(reader, &topic, 1, 60_000, None)?;
        if found > 0 && !world.disk.has_crashed() {
            return Err(format!(
                "reader {reader} waits for a message of {topic}, there is one, and nobody was woken"
            ));
        }
    }
    Ok(())
}
