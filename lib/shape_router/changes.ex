defmodule ShapeRouter.Changes do
  @moduledoc """
  What the WAL tells, as structs.

  A record is a map from column names to the WAL's text, with `nil` for NULL. A column that the WAL
  left out (an unchanged TOAST value) has no key. A host's own structs with the same fields serve as
  well, wherever changes are taken.
  """

  @typedoc "`{schema, table}`"
  @type relation :: {String.t(), String.t()}
  @type record :: %{String.t() => String.t() | nil}
  @type change ::
          __MODULE__.NewRecord.t()
          | __MODULE__.UpdatedRecord.t()
          | __MODULE__.DeletedRecord.t()
          | __MODULE__.TruncatedRelation.t()
          | __MODULE__.Relation.t()

  defmodule NewRecord do
    @moduledoc "A row came into being."
    defstruct [:relation, :record, :log_offset, :key]

    @type t :: %__MODULE__{
            relation: ShapeRouter.Changes.relation(),
            record: ShapeRouter.Changes.record(),
            log_offset: {non_neg_integer(), non_neg_integer()} | nil,
            key: String.t() | nil
          }
  end

  defmodule UpdatedRecord do
    @moduledoc """
    A row changed. `old_record` is the whole old row under `REPLICA IDENTITY FULL`, else `nil`;
    `old_key` has the old values of the key's columns where the key changed and that is all that is
    known.
    """
    defstruct [:relation, :record, :old_record, :log_offset, :key, :old_key, :changed_columns]

    @type t :: %__MODULE__{
            relation: ShapeRouter.Changes.relation(),
            record: ShapeRouter.Changes.record(),
            old_record: ShapeRouter.Changes.record() | nil,
            log_offset: {non_neg_integer(), non_neg_integer()} | nil,
            key: String.t() | nil,
            old_key: ShapeRouter.Changes.record() | String.t() | nil,
            changed_columns: MapSet.t() | nil
          }
  end

  defmodule DeletedRecord do
    @moduledoc """
    A row went away. `old_record` is the whole row under `REPLICA IDENTITY FULL`; otherwise it is
    `nil`, and `old_key` has the key's columns.
    """
    defstruct [:relation, :old_record, :log_offset, :key, :old_key]

    @type t :: %__MODULE__{
            relation: ShapeRouter.Changes.relation(),
            old_record: ShapeRouter.Changes.record() | nil,
            log_offset: {non_neg_integer(), non_neg_integer()} | nil,
            key: String.t() | nil,
            old_key: ShapeRouter.Changes.record() | nil
          }
  end

  defmodule TruncatedRelation do
    @moduledoc "All rows of a table went away."
    defstruct [:relation, :log_offset]

    @type t :: %__MODULE__{
            relation: ShapeRouter.Changes.relation(),
            log_offset: {non_neg_integer(), non_neg_integer()} | nil
          }
  end

  defmodule Relation do
    @moduledoc "A table's definition. `columns` are maps with `name`, `type_oid`, `typmod` and `key?`."
    defstruct [:id, :schema, :table, :columns, :replica_identity, affected_columns: []]

    @type column :: %{
            name: String.t(),
            type_oid: non_neg_integer(),
            typmod: integer(),
            key?: boolean()
          }
    @type t :: %__MODULE__{
            id: non_neg_integer(),
            schema: String.t(),
            table: String.t(),
            columns: [column()],
            replica_identity: :default | :nothing | :full | :index | nil,
            affected_columns: [String.t()]
          }
  end

  defmodule Transaction do
    @moduledoc """
    A committed transaction, or a fragment of a large one: fragments are counted from 0, and the last
    one has `last?: true`. `lsn` is the LSN of the commit record.
    """
    defstruct [
      :xid,
      :lsn,
      :end_lsn,
      :commit_timestamp,
      changes: [],
      num_changes: 0,
      fragment: 0,
      last?: true,
      last_log_offset: nil
    ]

    @type t :: %__MODULE__{
            xid: non_neg_integer() | nil,
            lsn: non_neg_integer(),
            end_lsn: non_neg_integer() | nil,
            commit_timestamp: DateTime.t() | nil,
            changes: [ShapeRouter.Changes.change()],
            num_changes: non_neg_integer(),
            fragment: non_neg_integer(),
            last?: boolean(),
            last_log_offset: {non_neg_integer(), non_neg_integer()} | nil
          }
  end
end
