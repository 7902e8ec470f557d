// On every page: htmx, and live updates by server-sent events. All of it works without it, too.
import "htmx.org";
import "htmx-ext-sse";
