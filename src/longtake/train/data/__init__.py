"""A folder of videos as a training set: found with their captions, cut into clips, encoded, stored in shards."""
