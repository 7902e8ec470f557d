// Replays a recording.
import "asciinema-player/dist/bundle/asciinema-player.css";
export {};
