"""From sightings to visits: `tracker` says when a visit begins and ends, `evidence` is how sure."""
