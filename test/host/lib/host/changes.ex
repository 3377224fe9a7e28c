defmodule Host.Changes do
  @moduledoc "What comes out of the replication stream of this service."

  defmodule NewRecord do
    defstruct [:relation, :record, :log_offset, :key, last?: false, move_tags: []]
  end

  defmodule UpdatedRecord do
    defstruct [
      :relation,
      :old_record,
      :record,
      :log_offset,
      :key,
      :old_key,
      move_tags: [],
      removed_move_tags: [],
      changed_columns: MapSet.new(),
      last?: false
    ]
  end

  defmodule DeletedRecord do
    defstruct [:relation, :old_record, :log_offset, :key, move_tags: [], last?: false]
  end

  defmodule TruncatedRelation do
    defstruct [:relation, :log_offset, last?: false]
  end

  defmodule Relation do
    defstruct [:id, :schema, :table, :columns, affected_columns: []]
  end
end
