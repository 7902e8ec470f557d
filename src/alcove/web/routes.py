"""All pages, as the server includes them."""

from typing import Final

from fastapi import APIRouter

from alcove.web import sign_in, templates, workspaces

PAGES: Final[tuple[APIRouter, ...]] = (sign_in.routes, workspaces.routes, templates.routes)
