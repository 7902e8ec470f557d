#!/bin/sh
# Installs the agent that was chosen, from its package registry.
set -eu
agent="${ALCOVE_PARAMETER_AGENT:-none}"
case "$agent" in
    claude-code) program=claude install="npm install -g @anthropic-ai/claude-code" ;;
    codex) program=codex install="npm install -g @openai/codex" ;;
    opencode) program=opencode install="npm install -g opencode-ai" ;;
    aider) program=aider install="pipx install aider-chat" ;;
    *) exit 0 ;;
esac
if command -v "$program" > /dev/null; then
    exit 0
fi
if [ "${ALCOVE_PARAMETER_NETWORK:-none}" = none ]; then
    echo "The agent $agent is not installed: the network of this workspace is none." >&2
    echo "Ask for network: open, or use a template whose image has the agent." >&2
    exit 1
fi
exec $install
