"""Pools, snapshots and shared ports."""

from datetime import UTC, datetime

import sqlalchemy as sa
from alembic import op

from alcove.store.schema import UtcTime

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_POOLED = sa.text("pool IS NOT NULL")


def upgrade() -> None:
    op.add_column("workspaces", sa.Column("pool", sa.String(length=96)))
    op.add_column("workspaces", sa.Column("started", sa.String(length=16)))
    op.add_column(
        "workspaces", sa.Column("started_why", sa.Text(), nullable=False, server_default="")
    )
    op.execute("UPDATE workspaces SET started = 'cold' WHERE started_at IS NOT NULL")
    op.create_index(
        "ix_workspaces_pool",
        "workspaces",
        ["pool", "created_at"],
        sqlite_where=_POOLED,
        postgresql_where=_POOLED,
    )
    op.create_table(
        "pools",
        sa.Column("template", sa.String(length=64), nullable=False),
        sa.Column("isolation", sa.String(length=16), nullable=False),
        sa.Column("settings", sa.Text(), nullable=False),
        sa.Column("updated_at", UtcTime(), nullable=False),
        sa.Column("updated_by", sa.String(length=32), nullable=False),
        sa.ForeignKeyConstraint(["template"], ["templates.name"], name="fk_pools_template"),
        sa.PrimaryKeyConstraint("template", "isolation", name="pk_pools"),
    )
    op.create_table(
        "snapshots",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("name", sa.String(length=63), nullable=False),
        sa.Column("owner", sa.String(length=32), nullable=False),
        sa.Column("workspace", sa.String(length=32), nullable=False),
        sa.Column("template", sa.String(length=64), nullable=False),
        sa.Column("template_version", sa.Integer(), nullable=False),
        sa.Column("spec", sa.Text(), nullable=False),
        sa.Column("request", sa.Text(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("memory", sa.Boolean(), nullable=False),
        sa.Column("size_mib", sa.Integer(), nullable=False),
        sa.Column("hidden", sa.Boolean(), nullable=False),
        sa.Column("created_at", UtcTime(), nullable=False),
        sa.Column("expires_at", UtcTime(), nullable=True),
        sa.Column("check_at", UtcTime(), nullable=False),
        sa.ForeignKeyConstraint(["owner"], ["users.id"], name="fk_snapshots_owner"),
        sa.PrimaryKeyConstraint("id", name="pk_snapshots"),
    )
    op.create_index("ix_snapshots_owner_page", "snapshots", ["owner", "created_at", "id"])
    op.create_index("ix_snapshots_due", "snapshots", ["check_at"])
    op.create_table(
        "shares",
        sa.Column("workspace", sa.String(length=32), nullable=False),
        sa.Column("port", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("level", sa.String(length=16), nullable=False),
        sa.Column("expires_at", UtcTime(), nullable=True),
        sa.Column("created_at", UtcTime(), nullable=False),
        sa.Column("created_by", sa.String(length=32), nullable=False),
        sa.ForeignKeyConstraint(["workspace"], ["workspaces.id"], name="fk_shares_workspace"),
        sa.PrimaryKeyConstraint("workspace", "port", name="pk_shares"),
    )
    _add_the_keeper_of_pools()


def downgrade() -> None:
    # Nobody could claim the members of pools any more: they are removed as any workspace is.
    op.execute(
        "UPDATE workspaces SET desired = 'deleted', generation = generation + 1, "
        "check_at = created_at WHERE pool IS NOT NULL AND phase <> 'deleted'"
    )
    op.drop_table("shares")
    op.drop_index("ix_snapshots_due", "snapshots")
    op.drop_index("ix_snapshots_owner_page", "snapshots")
    op.drop_table("snapshots")
    op.drop_table("pools")
    op.drop_index("ix_workspaces_pool", "workspaces")
    op.drop_column("workspaces", "started_why")
    op.drop_column("workspaces", "started")
    op.drop_column("workspaces", "pool")


def _add_the_keeper_of_pools() -> None:
    """Who owns what nobody owns yet. It cannot sign in; a downgrade leaves it, since deleted
    workspaces may be its own."""
    users = sa.table(
        "users",
        sa.column("id", sa.String),
        sa.column("name", sa.String),
        sa.column("display_name", sa.String),
        sa.column("email", sa.String),
        sa.column("role", sa.String),
        sa.column("service", sa.Boolean),
        sa.column("disabled", sa.Boolean),
        sa.column("created_at", UtcTime),
    )
    connection = op.get_bind()
    known = sa.select(users.c.id).where(users.c.id == "pool")
    if connection.execute(known).first() is not None:
        return
    connection.execute(
        users.insert().values(
            id="pool",
            name="_pool",
            display_name="Members of pools",
            email="",
            role="member",
            service=True,
            disabled=True,
            created_at=datetime(2000, 1, 1, tzinfo=UTC),
        )
    )
