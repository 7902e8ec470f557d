"""`/schemas/template.json`: the JSON Schema of `template.yaml`, for editors and for checks."""

from fastapi import APIRouter
from starlette.responses import JSONResponse, Response

from alcove.api.routing import Route
from alcove.recipes.schema import schema

routes = APIRouter(tags=["schemas"], route_class=Route)


@routes.get(
    "/schemas/template.json",
    response_class=Response,
    responses={200: {"description": "JSON Schema", "content": {"application/schema+json": {}}}},
)
async def template() -> Response:
    """The JSON Schema (2020-12) of `template.yaml`."""
    return JSONResponse(
        schema(),
        media_type="application/schema+json",
        headers={"access-control-allow-origin": "*", "cache-control": "public, max-age=3600"},
    )
