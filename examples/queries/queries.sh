API=${API:-http://127.0.0.1:8000}

# Print the names that a query string gives.
names() {
  curl -gs "$API/api/rocket_engines?$1&_projection=name&_sort=(name:ascending)" |
    python3 -c 'import json, sys; print(", ".join(d["name"] for d in json.load(sys.stdin)))'
}

# Equality with a text; then with values of other types.
names 'country=France'
names 'is_active=[bool].false&thrust_kn=[int].1635'
names 'burn_time=[null].'

# Comparison. A parameter that stands twice is a range.
names 'burn_time=gte[int].500&burn_time=lt[int].600'
names 'first_flight=gte[date].2023-01-01'

# A list of values. + is a space.
names 'country=in[list-str].[Soviet+Union,Japan]'

# The negation of an operator, and a field inside an object.
names 'propellant.fuel=not.in[list-str].[RP-1,liquid+hydrogen]'

# Groups, one in the other.
names 'or=(country.eq[str].India,and(cycle.eq[str].expander,burn_time.gt[int].800))'
names 'nor=(country.in[list-str].[USA,Russia,%22Soviet+Union%22],burn_time.eq[null].)'

# Regular expressions, where FALCOREST_REGEX=true.
names 'name=regex[str].%5ELE-'
