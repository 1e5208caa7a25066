"""From sightings to visits: `tracker` says when a visit begins and ends, `smoothed` is how sure."""
