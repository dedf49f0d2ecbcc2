export default function Template() {
  return <div class="page" />;
}
