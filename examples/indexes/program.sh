falcorest indexes app:api --apply
falcorest routes app:api
