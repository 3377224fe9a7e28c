defmodule ShapeRouter.Filter.Identity do
  @moduledoc false
  # What a Relation message has to say about a shape: by which table and columns it is known. Millions
  # of shapes have a handful of identities.

  @enforce_keys [:table, :oid, :column_count, :all_columns?, :columns]
  defstruct [:table, :oid, :column_count, :all_columns?, :columns]

  @type t :: %__MODULE__{
          table: ShapeRouter.Changes.relation(),
          oid: non_neg_integer() | nil,
          column_count: non_neg_integer() | nil,
          all_columns?: boolean(),
          columns: [String.t()]
        }

  @spec read(map(), [String.t()]) :: t()
  def read(shape, clause_columns) do
    flags = Map.get(shape, :flags) || %{}
    selected = Map.get(shape, :selected_columns) || []

    %__MODULE__{
      table: shape.root_table,
      oid: Map.get(shape, :root_table_id),
      column_count: Map.get(shape, :root_column_count),
      all_columns?: Map.get(flags, :selects_all_columns, false) == true,
      columns: Enum.uniq(Enum.sort(clause_columns ++ selected))
    }
  end

  @doc """
  Does a Relation message concern the shapes of this identity? Tables are known by their OID: another
  name under it, or another OID under the name, concerns them; so do columns that came or went where
  the shape shows all of them, and changed columns that it shows or that its clause reads.
  """
  @spec affected?(t(), map()) :: boolean()
  def affected?(identity, relation) do
    same_name? = identity.table == {relation.schema, relation.table}
    same_oid? = identity.oid == relation.id

    cond do
      identity.oid == nil -> same_name? and columns_affected?(identity, relation)
      not same_name? and not same_oid? -> false
      not same_name? or not same_oid? -> true
      true -> columns_affected?(identity, relation)
    end
  end

  defp columns_affected?(identity, relation) do
    came_or_went? =
      identity.all_columns? and identity.column_count != nil and
        length(relation.columns) != identity.column_count

    changed = Map.get(relation, :affected_columns) || []
    came_or_went? or Enum.any?(identity.columns, &(&1 in changed))
  end
end
