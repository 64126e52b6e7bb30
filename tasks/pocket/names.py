"""The people, places and plain nouns of the pocket world."""

PEOPLE: tuple[str, ...] = (
    "Mara", "Tom", "Lena", "Otto", "Nina", "Paul", "Vera", "Hugo",
    "Ida", "Max", "Rosa", "Emil", "Clara", "Finn", "Greta", "Sam",
)  # fmt: skip

PLACES: tuple[str, ...] = ("Rome", "Oslo", "Paris", "Cairo", "Delhi", "Lima", "Kyoto", "Boston")

NOUNS: tuple[str, ...] = (
    "lamp", "stone", "cup", "tree", "river", "bread", "chair", "window", "garden", "bell",
    "ship", "horse", "candle", "bridge", "apple", "clock", "feather", "mirror", "basket", "drum",
    "ladder", "button", "needle", "rope", "spoon", "kite", "marble", "pencil", "shell", "whistle",
    "nut", "coin", "stamp", "pear", "plum", "brick", "ribbon", "bead", "card", "seed",
)  # fmt: skip

PLURALS: tuple[str, ...] = (
    "apples", "coins", "stamps", "pears", "plums", "bricks", "ribbons", "beads", "cards", "seeds",
    "shells", "buttons", "marbles", "pencils", "nuts", "stones",
)  # fmt: skip
