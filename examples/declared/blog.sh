API=${API:-http://127.0.0.1:8000}

curl -s -o /dev/null "$API/posts/" --json '[
  {"title": "Hello", "tags": ["news"], "is_published": true,
   "content": {"text": "We have a blog.", "language": "en"}},
  {"title": "A trip to Kyoto", "tags": ["travel", "food"], "rating": 4.5, "is_published": true,
   "content": {"text": "Six days, nine temples.", "language": "en"}},
  {"title": "Dienstag", "tags": ["food"], "rating": 3.1,
   "content": {"text": "Suppe, wie immer.", "language": "de"}}
]'

# Bare equality, and an operator. 4 is compared as a number, because rating is a Float.
curl -s "$API/posts/?is_published=true&rating__gte=4&_fields=title,rating"
echo

# A filter on a sub-field, and on a list.
curl -s "$API/posts/?content__language=de&tags=food&_fields=title,tags"
echo

# One of several values, and none of them.
curl -s "$API/posts/?tags__in=news,travel&_order_by=title&_fields=title"
echo
curl -s "$API/posts/?tags__not__in=news,travel&_fields=title"
echo

# Without a rating; and without a text in the title, in capitals or not.
curl -s "$API/posts/?rating__exists=false&_fields=title"
echo
curl -s "$API/posts/?title__not__icontains=KYOTO&_fields=title"
echo

# The best one, with the optional fields.
curl -s "$API/posts/?_order_by=-rating&_limit=1&_fields=_all"
echo

# What isn't declared, and what doesn't convert.
curl -s "$API/posts/?rating=4"
echo
curl -s "$API/posts/?rating__gte=high"
echo
