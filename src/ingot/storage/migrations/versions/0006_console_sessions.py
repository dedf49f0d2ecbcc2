"""Sessions of browsers and the codes that open them; builds by when they ended."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "sessions",
        sa.Column("hash", sa.Text(), nullable=False),
        sa.Column("key_id", sa.Text(), nullable=False),
        sa.Column("used_ms", sa.BigInteger(), nullable=False),
        sa.Column("ends_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["key_id"], ["api_keys.id"], name=op.f("fk_sessions_key_id")),
        sa.PrimaryKeyConstraint("hash", name=op.f("pk_sessions")),
    )
    op.create_index("ix_sessions_key_id", "sessions", ["key_id", "used_ms"])
    op.create_table(
        "session_codes",
        sa.Column("hash", sa.Text(), nullable=False),
        sa.Column("key_id", sa.Text(), nullable=False),
        sa.Column("session", sa.Text(), nullable=True),
        sa.Column("expires_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["key_id"], ["api_keys.id"], name=op.f("fk_session_codes_key_id")),
        sa.ForeignKeyConstraint(
            ["session"], ["sessions.hash"], name=op.f("fk_session_codes_session"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("hash", name=op.f("pk_session_codes")),
    )
    op.create_index("ix_session_codes_key_id", "session_codes", ["key_id", "expires_ms"])
    op.create_index("ix_session_codes_session", "session_codes", ["session"])
    op.create_index("ix_builds_account", "builds", ["account", "finished_ms"])
