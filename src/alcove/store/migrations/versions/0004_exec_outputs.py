"""The output of commands that ran without a terminal."""

import sqlalchemy as sa
from alembic import op

from alcove.store.schema import UtcTime

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "exec_outputs",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("workspace", sa.String(length=32), nullable=False),
        sa.Column("owner", sa.String(length=32), nullable=False),
        sa.Column("actor", sa.String(length=32), nullable=False),
        sa.Column("command", sa.Text(), nullable=False),
        sa.Column("exit_code", sa.Integer(), nullable=True),
        sa.Column("duration_ms", sa.Float(53), nullable=False),
        sa.Column("stdout", sa.LargeBinary(), nullable=False),
        sa.Column("stdout_size", sa.BigInteger(), nullable=False),
        sa.Column("stderr", sa.LargeBinary(), nullable=False),
        sa.Column("stderr_size", sa.BigInteger(), nullable=False),
        sa.Column("at", UtcTime(), nullable=False),
        sa.Column("expires_at", UtcTime(), nullable=True),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["owner"], ["users.id"], name="fk_exec_outputs_owner"),
        sa.PrimaryKeyConstraint("id", name="pk_exec_outputs"),
    )
    for name, columns in (
        ("page", ["at", "id", "size"]),
        ("owner_page", ["owner", "at", "id"]),
        ("workspace_page", ["workspace", "at", "id"]),
        ("expires_at", ["expires_at"]),
    ):
        op.create_index(f"ix_exec_outputs_{name}", "exec_outputs", columns)


def downgrade() -> None:
    op.drop_table("exec_outputs")
