# A password from standard input, for scripts. Without the option, it is asked for twice.
echo 'correct horse' | falcorest createuser ada --password-stdin

# Roles are kept with the user and carried in the token.
echo 'battery staple' | falcorest createuser grace --role editor --role admin --password-stdin

falcorest users

echo 'another horse' | falcorest passwd ada --password-stdin
falcorest deleteuser grace
