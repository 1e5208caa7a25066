"""The presence contest: our tracker and its peers' rules over the same sightings."""
