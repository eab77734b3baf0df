"""The vocabulary of the data set: names, texts and steps. `blueprint.dataset` draws from them."""

from __future__ import annotations

from typing import Any


def _split(text: str) -> tuple[str, ...]:
    return tuple(text.split())


FIRST_NAMES = _split("""
    Aisha Alan Alice Amara Ana Anders Anika Anton Aoife Beatriz Ben Camille Carlos Chen Chiara Chloé Daniel Dara Diego
    Elena Elif Emeka Emma Erik Fatima Felix Femi Freya Giulia Grace Hana Hugo Ida Imani Ines Ingrid Ivan Jamal Jin Joana
    João José Julia Kai Karin Keiko Khadija Kofi Lars Layla Lea Leila Liam Linh Lucía Mads Maja Malik Marco Maria Mateo
    Maya Mei Mila Mina Nadia Nia Niko Noah Noor Olga Omar Oscar Paula Pavel Priya Rafael Rania Ravi Renée Rosa Ruth Sana
    Sara Sofia Stefan Sven Tariq Theo Tomás Uma Vera Viktor Wei Yara Yusuf Zainab Zoë
""")
LAST_NAMES = _split("""
    Abbott Adeyemi Ahmed Almeida Andersson Baker Banerjee Bauer Bianchi Bondarenko Brandt Carvalho Castillo Chandra Cho
    Clarke Costa Cruz Dahl Diallo Dubois Eriksen Falk Fernández Fischer Fontaine Fraser García Gupta Haas Hansen Haruna
    Hoang Ibrahim Ito Jansen Jensen Joshi Kaya Keller Khan Kim Kowalska Kumar Larsen Laurent Lee Lindqvist Lopez Mahmoud
    Marino Martin Mbeki Mendes Meyer Moreau Mori Müller Murphy Nakamura Ndiaye Nguyen Novák Nowak Okafor Olsen Ortiz
    Osei Park Patel Pereira Petrov Popescu Qureshi Rahman Ramos Reyes Ricci Rossi Sato Schmidt Sharma Silva Singh
    Sokolov Suzuki Takahashi Tanaka Torres Tran Usman Vargas Virtanen Vogel Walsh Weber Wilson Wong Yamamoto Zhang
""")
DOMAINS = _split("example.com example.org example.net mail.example.com studio.example.org")
PLACES = (
    ("Europe/Berlin", "de"),
    ("Europe/London", "en"),
    ("America/New_York", "en"),
    ("America/Sao_Paulo", "pt"),
    ("Europe/Paris", "fr"),
    ("Asia/Tokyo", "ja"),
    ("Asia/Kolkata", "en"),
    ("Africa/Lagos", "en"),
    ("Europe/Madrid", "es"),
)
BIOS = (
    "Designer of small, quick pages.",
    "Front-end developer, mostly forms.",
    "Runs a two-person studio.",
    "Writes copy and breaks layouts.",
    "Makes shops for people who make things.",
    "Learning in public.",
)
WEEKDAYS = (1.0, 1.06, 1.08, 1.02, 0.88, 0.42, 0.36)
"""The relative activity of each day of the week, from Monday."""

STYLES = _split("""
    Aurora Birch Canvas Cobalt Compass Coral Delta Drift Ember Fjord Granite Harbour Horizon Indigo Juniper Lantern
    Linen Lumen Maple Meridian Mosaic Nimbus Orchard Pebble Prism Quartz Ridge Saffron Slate Tundra
""")
CATEGORIES = {
    "HEADER": ("A sticky header with a logo and a search field", ("header", "sticky", "logo", "search")),
    "HERO": ("A full-width hero with one call to action", ("hero", "banner", "landing", "video")),
    "CONTENT": ("Long-form content with notes in the margin", ("article", "blog", "typography", "text")),
    "FOOTER": ("A footer with links, address and newsletter form", ("footer", "links", "newsletter", "address")),
    "FORM": ("A form with error messages next to the fields", ("form", "validation", "input", "sign-up")),
    "GALLERY": ("An image gallery with a lightbox", ("gallery", "images", "lightbox", "portfolio")),
    "TESTIMONIAL": ("Testimonials of customers, one at a time", ("testimonial", "quote", "carousel", "customers")),
    "PRICING": ("A pricing table for three plans", ("pricing", "table", "plans", "shop")),
    "CONTACT": ("A contact section with a map and opening hours", ("contact", "map", "hours", "address")),
    "NAVIGATION": ("A navigation menu for many levels", ("navigation", "menu", "dropdown", "mobile")),
}
"""The description and the search terms of each category of templates."""
FEATURES = (
    "in light and dark mode",
    "that works without JavaScript",
    "for small screens first",
    "with a quiet animation",
    "tested with screen readers",
    "in two columns",
    "ready for right-to-left languages",
    "with a parallax background",
)
TAGS = _split("minimal bold responsive accessible animated dark corporate playful editorial seasonal")
COMMENTS = {
    1: ("Broke on the first real page.", "Does not look like the picture."),
    2: ("Needs a lot of work on small screens.", "Nice idea, heavy code."),
    3: ("Does the job.", "Good start, but the spacing is off.", "Fine for a draft."),
    4: ("Clean and easy to change.", "Saved us a day.", "Good, apart from the print styles."),
    5: ("Exactly what we needed.", "Went live the same evening.", "Our customers noticed. Lovely.", "Flawless."),
}
ADJECTIVES = _split("Blue Bright Copper Corner Garden Golden Green Happy Little New Northern Old Open Quiet Red Silver")
TRADES = _split("""
    Academy Bakery Bikes Books Brewery Cinema Clinic Coffee Dental Farm Flowers Gym Hotel Kitchen Law Pottery Records
    Theatre Toys Yoga
""")
KINDS = (
    ("landing page", ("landing", "marketing")),
    ("web shop", ("shop", "catalogue")),
    ("portfolio", ("portfolio", "images")),
    ("booking site", ("booking", "calendar")),
    ("newsletter archive", ("newsletter", "blog")),
    ("event page", ("event", "tickets")),
)
WISHES = (
    "to be live before the season begins",
    "with opening hours and a map",
    "in three languages",
    "as quick as the old one was slow",
    "from a design that the owner drew",
    "with a form for orders",
)
FONTS = ("Inter", "Source Serif", "IBM Plex Sans", "Fraunces")
SOURCES = ("figma", "sketch", "upload")
PROJECT_STATUSES = {"DRAFT": 30, "PROCESSING": 2, "COMPLETED": 18, "PUBLISHED": 40, "ARCHIVED": 7, "FAILED": 3}
"""How often each status occurs, here and below."""
BUILT = ("COMPLETED", "PUBLISHED", "ARCHIVED")
KEY_NAMES = ("CI", "staging", "production", "laptop", "import script", "analytics export")
PERMISSIONS = ("projects:read", "projects:write", "templates:read", "sessions:run")
SESSION_STATUSES = {"COMPLETED": 88, "FAILED": 9, "CANCELLED": 3}
YOUNG_SESSION_STATUSES = {"PENDING": 30, "PROCESSING": 40, "COMPLETED": 30}
PROMPTS = (
    "Turn this design into semantic HTML.",
    "Find the contrast problems of this page.",
    "Write alternative texts for these images.",
    "Suggest a template for this sketch.",
)
FAILURES = (
    ("MODEL_TIMEOUT", "The model did not answer in 30 s."),
    ("INVALID_DESIGN", "The design has no artboard."),
    ("RATE_LIMITED", "Too many requests; try again in a minute."),
)
LOG_LINES = (
    ("INFO", "session started"),
    ("DEBUG", "design parsed"),
    ("INFO", "layout detected"),
    ("DEBUG", "prompt sent"),
    ("WARN", "answer cut short, asking for the rest"),
    ("INFO", "modules generated"),
    ("DEBUG", "styles merged"),
    ("INFO", "output checked"),
)
NOTIFICATION_TYPES = {
    "PROJECT_COMPLETED": 35,
    "TEMPLATE_APPROVED": 5,
    "COLLABORATION_INVITE": 25,
    "SYSTEM_UPDATE": 15,
    "SECURITY_ALERT": 5,
    "PAYMENT_SUCCESS": 12,
    "PAYMENT_FAILED": 3,
}
MESSAGES = {
    "PROJECT_COMPLETED": ("Your project is ready", "The build is done. Have a look at the preview."),
    "TEMPLATE_APPROVED": ("Template approved", "Everyone can use it from now on."),
    "COLLABORATION_INVITE": ("You are invited", "You can now work on someone else's project."),
    "SYSTEM_UPDATE": ("New this month", "Faster builds, and dark mode for previews."),
    "SECURITY_ALERT": ("New sign-in", "Someone signed in from a new device."),
    "PAYMENT_SUCCESS": ("Payment received", "Thank you! The receipt is attached."),
    "PAYMENT_FAILED": ("Payment failed", "Please check your card."),
}

Step = tuple[str, str, dict[str, Any]]
"""An event's type, name and properties."""
LANDING: Step = ("page", "page_view", {"path": "/"})
SIGN_UP: Step = ("account", "signup", {"plan": "free"})
SIGN_IN: Step = ("account", "sign_in", {})
VISITOR_STEPS: tuple[Step, ...] = (
    ("page", "page_view", {"path": "/pricing"}),
    ("page", "page_view", {"path": "/templates"}),
    ("template", "template_view", {"from": "list"}),
)
USER_STEPS: tuple[Step, ...] = (
    *VISITOR_STEPS,
    ("page", "page_view", {"path": "/dashboard"}),
    ("template", "template_search", {"query": "hero dark"}),
    ("project", "project_saved", {"by": "autosave"}),
    ("project", "project_saved", {"by": "button"}),
    ("project", "preview_opened", {"width": 390}),
    ("session", "ai_session_started", {"type": "generation"}),
)
AGENTS = (
    "Mozilla/5.0 (X11; Linux x86_64; rv:144.0) Gecko/20100101 Firefox/144.0",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 Version/26.0 Safari/605.1.15",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/142.0.0.0 Safari/537.36",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 Mobile/15E148",
)
NETWORKS = ("192.0.2.", "198.51.100.", "203.0.113.", "2001:db8::")
REFERERS = (None, None, "https://search.example/?q=templates", "https://news.example.org/", "https://example.net/blog")
