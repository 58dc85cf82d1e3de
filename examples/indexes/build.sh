falcorest indexes
falcorest indexes --apply
falcorest check
